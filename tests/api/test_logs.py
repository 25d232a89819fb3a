"""The log: JSON for machines, text for people, a request's id on both sides, and no flood."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from fix_service import client_of, meter_reading, vehicle_reading, wait_until
from litestar import get

from service import logs
from service.app import create_app
from service.database.migrate import FOLDER
from service.logs import JsonFormatter, RateLimitedLogger, TextFormatter

ENGINE = Path(sys.executable).parent / "ev-engine"
PATH = "/v1/telemetry"


def run_migrate(url: str, stderr: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"DATABASE_URL": url} | environment
    return subprocess.run([ENGINE, "migrate"], env=environment, stdout=subprocess.PIPE, stderr=stderr, check=True)


def test_lines_are_json_where_nobody_looks_on(empty_database_url):
    done = run_migrate(empty_database_url, subprocess.PIPE)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert lines[0]["message"].startswith("database from DATABASE_URL")
    assert lines[0]["time"].endswith("Z")
    assert len(lines) < 3 + len(list(FOLDER.glob("migrations/*/*.sql")))  # one for each migration, and little else


def test_lines_are_text_on_a_terminal(empty_database_url):
    master, terminal = pty.openpty()
    try:
        run_migrate(empty_database_url, terminal)
        first = os.read(master, 10_000).decode().splitlines()[0]
    finally:
        os.close(terminal)
        os.close(master)
    assert "INFO    database from DATABASE_URL" in first
    assert not first.startswith("{")


def test_the_format_can_be_chosen(empty_database_url):
    assert b"INFO    database from" in run_migrate(empty_database_url, subprocess.PIPE, LOG_FORMAT="text").stderr


def test_a_traceback_is_part_of_its_line():
    try:
        raise RuntimeError("broken\nin two")
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "%s failed", ("it",), sys.exc_info())
    record.request_id = "abc"
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["request_id"], line["level"]) == ("it failed", "abc", "error")
    assert "RuntimeError: broken" in line["traceback"]
    assert TextFormatter().format(record).splitlines()[0].endswith("it failed [request abc]")


def test_an_id_that_was_sent_comes_back(client):
    for path, body in ((PATH, meter_reading()), (PATH, {"type": "neither"})):
        answer = client.post(path, json=body, headers={"X-Request-ID": "trace-01/a:b"})
        assert answer.headers.get_list("x-request-id") == ["trace-01/a:b"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", "é".encode()])
def test_an_id_that_is_not_sane_is_replaced_where_there_is_a_problem(client, sent):
    answer = client.post(PATH, json={"type": "neither"}, headers={"X-Request-ID": sent})
    (given,) = answer.headers.get_list("x-request-id")
    assert len(given) == 16
    assert "x-request-id" not in client.post(PATH, json=meter_reading(), headers={"X-Request-ID": sent}).headers


def test_every_problem_has_an_id_of_its_own(client):
    ids = {client.post(PATH, json={}).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


def test_readings_and_refusals_are_not_logged(client, caplog):
    caplog.set_level(logging.INFO)
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    caplog.clear()
    for body in (meter_reading(), vehicle_reading(), meter_reading(voltage=-1)):
        client.post(PATH, json=body)
    assert [record for record in caplog.records if record.name.startswith("service")] == []


def test_a_failure_of_the_service_is_one_line_with_the_id_that_the_sender_got(settings, database_url, caplog):
    @get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("on purpose")

    app = create_app(settings(), database_url)
    app.register(broken)
    with client_of(app, raise_server_exceptions=False) as client:
        answer = client.get("/v1/broken")
    assert answer.status_code == 500
    (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.request_id == answer.headers["x-request-id"]
    assert (line.method, line.path, line.status) == ("GET", "/v1/broken", 500)
    assert line.exc_info is not None


def test_a_flood_of_503_is_not_a_flood_of_lines(settings, caplog):
    with client_of(create_app(settings(request_timeout_seconds=0.1), "postgresql://127.0.0.1:1/nowhere")) as client:
        for _ in range(100):
            assert client.post(PATH, json=meter_reading()).status_code == 503
    lines = [record.getMessage() for record in caplog.records if record.name == "service.http.problems"]
    assert len(lines) == 1
    assert lines[0].startswith("answered 503: ")


def test_what_was_held_back_is_counted(monkeypatch, caplog):
    monkeypatch.setattr(logs, "_QUIET_SECONDS", 0.05)

    async def flood() -> None:
        told = RateLimitedLogger(logging.getLogger("service.test"), "answered 503")
        for n in range(500):
            told.warning(f"reason {n}", {})
        while len(caplog.records) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        told.warning("again", {})

    asyncio.run(flood())
    assert [record.getMessage() for record in caplog.records] == [
        "answered 503: reason 0",
        "answered 503: 499 more in 0.05 s, the latest: reason 499",
        "answered 503: again",
    ]
