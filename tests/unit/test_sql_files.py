"""The SQL files: templates say what they mean, and no text is longer than a reader can hold."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest

from service.database.templates import render

FUNCTIONS = Path(__file__).parents[2] / "db" / "functions"
FILES = sorted(FUNCTIONS.rglob("*.sql"))
TEMPLATES = [path for path in FILES if path.name.endswith((".stream.sql", ".rollup.sql", ".source.sql"))]
BODIES = re.compile(
    r"^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) (?P<name>[\w.{}]+)\(.*?(?=^COMMENT ON)", re.DOTALL | re.MULTILINE
)


def bodies() -> dict[tuple[str, str], str]:
    """Return the text of every function by its folder and name."""
    return {
        (path.parent.name, match["name"]): match[0] for path in FILES for match in BODIES.finditer(path.read_text())
    }


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_template_is_rendered_for_each_stream_and_leaves_no_name_open(path):
    rendered = render(path)
    assert not re.search(r"\{[a-z_]+\}|vehicles only", rendered.replace("-- vehicles only", ""))
    names = [match["name"] for match in BODIES.finditer(rendered)]
    assert len(set(names)) == len(names)
    for stream in ("meter", "vehicle"):
        fleet = {"meter": "fleet_chargers", "vehicle": "fleet_vehicles"}[stream]
        assert f"{stream}_telemetry" in rendered or any(stream in name or fleet in name for name in names)


def test_a_line_stands_once_for_each_measure(tmp_path):
    path = tmp_path / "example.stream.sql"
    path.write_text("SELECT {device},\n    min({measure}),\n    previous,  -- vehicles only\n    '{measures}'\n")
    meter, vehicle = render(path).split("\n\n")
    assert meter == "SELECT meter_id,\n    min(voltage),\n    'voltage'"
    assert vehicle.splitlines() == [
        "SELECT vehicle_id,", "    min(soc),", "    min(battery_temp),", "    previous,  -- vehicles only", "    'soc, battery_temp'",
    ]  # fmt: skip


def test_a_name_without_a_meaning_is_an_error(tmp_path):
    path = tmp_path / "example.stream.sql"
    path.write_text("SELECT {nonsense}\n")
    with pytest.raises(KeyError, match="nonsense"):
        render(path)


def test_functions_are_short_enough_to_read():
    long = {name: len(text.splitlines()) for name, text in bodies().items() if len(text.splitlines()) > 60}
    assert long == {}


def test_no_two_functions_differ_in_names_alone():
    """Names of streams, devices, rollups and their columns; a text that holds for two of them is a template."""
    words = r"meters?|vehicles?|kwh_consumed_ac|kwh_delivered_dc|ac|dc|meter_id|vehicle_id|voltage|soc|battery_temp"

    def shape(name: str, text: str) -> str:
        body = text[text.index("$$") :] if "$$" in text else text
        return re.sub(rf"(?<![a-z])(?:{words})(?![a-z])", "X", body)

    shapes = {key: shape(key[1], text) for key, text in bodies().items() if len(text.splitlines()) > 4}
    same = [(a, b) for a, b in combinations(shapes, 2) if a[0] == b[0] and shapes[a] == shapes[b]]
    assert same == []
