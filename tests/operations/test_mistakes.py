"""docs/mistakes.md: every mistake in its tables is made, and the engine says what stands there."""

from __future__ import annotations

import json
import re
import shlex
from typing import NamedTuple

import pytest
from fix_service import meter_reading, send, vehicle_reading
from pages import rows, section

pytestmark = pytest.mark.edition("postgres", reason="the service words its answers, and both editions share it")

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
CODE = re.compile(r"`([^`]+)`")


class Mistake(NamedTuple):
    """A row: what is wrong, how it is made, and what the engine says."""

    name: str
    how: str
    status: str
    answer: str


OVER_HTTP = [Mistake(*cells) for cells in rows(section("docs/mistakes.md", "Over HTTP"))[2:]]
ON_THE_COMMAND_LINE = [
    Mistake(name, how, "", answer) for name, how, answer in rows(section("docs/mistakes.md", "On the command line"))[2:]
]


def named(mistakes: list[Mistake]) -> list:
    return [pytest.param(mistake, id=mistake.name) for mistake in mistakes]


def plain(text: str) -> str:
    """Return an answer as the table shows it: in code style, and with some time."""
    return TIME.sub("<time>", text.replace("`", ""))


def body_of(how: str, path: str) -> bytes:
    """Return the body that a row describes: one of its own, or a good reading in which a field is changed."""
    _, *details = CODE.findall(how)
    if "without a body" in how or not details:
        return b""
    (detail,) = details
    if "with the body" in how:
        return detail.encode()
    field = re.match(r'"?(\w+)', detail)[1]
    reading = vehicle_reading() if field in vehicle_reading() and field not in meter_reading() else meter_reading()
    if " without " in how:
        del reading[field]
        text = json.dumps(reading)
    else:
        text = json.dumps(reading | {field: "?"}).replace(f'"{field}": "?"', detail)
        assert detail in text
    return f'{{"readings": [{text}]}}'.encode() if path.endswith("/batch") else text.encode()


@pytest.mark.parametrize("mistake", named(OVER_HTTP))
def test_a_mistake_over_http_is_answered_as_the_page_says(client, mistake):
    send(client, meter_reading(), vehicle_reading(vehicleId="V1"))
    method, path = CODE.findall(mistake.how)[0].split()
    response = client.request(method, path, content=body_of(mistake.how, path))
    answer = response.json()
    said = answer["detail"] if "detail" in answer else answer["errors"][0]
    assert (plain(said), response.status_code) == (plain(mistake.answer), int(mistake.status))


@pytest.mark.parametrize("mistake", named(ON_THE_COMMAND_LINE))
def test_a_mistake_on_the_command_line_is_answered_as_the_page_says(make, tmp_path, mistake):
    command, *details = CODE.findall(mistake.how)
    if details:
        (tmp_path / details[1]).write_text(f"{details[0]}\n")
    _, target, *variables = shlex.split(command)
    done = make(target, **dict(variable.split("=", 1) for variable in variables))
    told = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(told) == 1, done.stderr
    said = json.loads(told[0])["message"] if told[0].startswith("{") else told[0]
    assert plain(said) == plain(mistake.answer)


def test_the_page_has_many_mistakes_and_none_twice():
    mistakes = OVER_HTTP + ON_THE_COMMAND_LINE
    assert len({mistake.how for mistake in mistakes}) == len({mistake.name for mistake in mistakes}) == len(mistakes)
    assert len(mistakes) >= 40
