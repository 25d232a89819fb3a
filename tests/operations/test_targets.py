"""Every target of `make help`: those for operators run on both editions, or refuse in a line what cannot be had."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest
from fix_service import wait_until
from ports import free_port
from targets import ROOT, command, environment

# What keeps the project itself in order, and could not run within its own tests.
DEVELOPERS = {
    *("install", "test", "test-properties", "test-faults", "lint", "audit", "fmt", "check", "requirements"),
    "screenshots",
}
CONTAINERS = {"up", "dashboards", "down"}
RUN_HERE = {"help", "run", "migrate", "rollback", "psql", "simulate", "bench"} | CONTAINERS
RUN_BESIDE = {
    "test_retention_targets.py": {"retention", "retention-set", "columnstore-set", "jobs"},
    "test_doctor.py": {"doctor"},
    "test_alert_delivery.py": {"alerts-test"},
    "test_demo.py": {"demo"},
    "test_backup_and_restore.py": {"backup", "restore"},
    "../api/test_keys_serving.py": {"keys-create", "keys-list", "keys-revoke", "keys-rotate"},
}


def test_every_target_is_listed_in_one_line_and_run_by_a_test(told):
    listed = [line.split(maxsplit=1) for line in told("help").splitlines()]
    assert all(len(words) == 2 for words in listed)
    targets = {target for target, _ in listed}
    phony = {line.split()[1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY")}
    assert targets == {name for name in phony if not name.startswith(".")} - {"install-dev"}
    for file, names in RUN_BESIDE.items():
        text = (Path(__file__).parent / file).read_text()
        assert not [name for name in names if f'"{name}"' not in text], file
    assert targets == DEVELOPERS | RUN_HERE | set().union(*RUN_BESIDE.values())


@pytest.mark.edition("postgres", reason="it needs no database")
@pytest.mark.parametrize("target", sorted(DEVELOPERS))
def test_what_developers_run_is_complete(target, tmp_path):
    done = subprocess.run([*command(tmp_path, target), "--dry-run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.edition("postgres", reason="it needs no database")
@pytest.mark.parametrize(("options", "run"), [({}, "--live forever"), ({"ARGS": "--hours 2"}, "--hours 2")])
def test_a_simulated_fleet_is_kept_alive_unless_options_say_otherwise(options, run, tmp_path):
    shown = subprocess.run(
        [*command(tmp_path, "simulate", **options), "--dry-run"], capture_output=True, text=True, check=True
    ).stdout
    assert shown.rstrip().endswith(f"ev-engine simulate {run}")


@pytest.mark.edition("postgres", reason="it needs no database")
def test_the_environment_goes_before_the_env_file_and_a_broken_one_ends_the_target(tmp_path):
    def said(env_file: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / ".env").write_text(env_file)
        return subprocess.run(
            command(tmp_path, "retention"), env=environment("", PORT="given"), capture_output=True, text=True
        )

    done = said("PORT='the file'\n")
    assert (done.returncode, "PORT='given' is not usable" in done.stderr) == (2, True), done.stderr
    done = said("LOG_LEVEL=info\nDB_PORT='a b'\n")
    assert "PORT='given' is not usable" in done.stderr
    done = said("TRUSTED_PROXIES=10.0.0.5, 10.1.0.0/16\n")
    assert done.returncode == 2
    assert "PORT" not in done.stderr, "nothing is started with a part of the settings"


@pytest.mark.parametrize(
    ("target", "variables", "reason"),
    [
        ("backup", {}, "FILE=engine.backup is needed"),
        ("restore", {}, "FILE=engine.backup is needed"),
        ("keys-create", {"NAME": "depot-7", "SCOPE": "ingest", "PREFIX": ""}, "prefix"),
        ("keys-create", {"NAME": "depot-7", "SCOPE": "ingest", "DEVICE": ""}, "device"),
    ],
)
def test_a_variable_that_is_missing_or_empty_is_asked_for(make, target, variables, reason):
    done = make(target, **variables)
    assert done.returncode == 2
    assert reason in done.stderr, done.stderr


def test_the_schema_goes_up_and_down(make, empty_database_url):
    relations = "SELECT count(*) FROM pg_class WHERE relname = 'meter_telemetry_history'"
    for target, variables, count in (
        ("migrate", {}, "1"),
        ("rollback", {"ALL": "1", "CONFIRM": "yes"}, "0"),
        ("migrate", {}, "1"),
    ):
        done = make(target, url=empty_database_url, **variables)
        assert done.returncode == 0, done.stderr
        assert (
            make("psql", url=empty_database_url, typed=f"\\pset tuples_only\n{relations}\n;").stdout.split()[-1]
            == count
        )


@pytest.mark.parametrize(("variables", "role"), [({}, "postgres"), ({"ROLE": "analyst"}, "analyst")])
def test_psql_opens_the_database(make, variables, role):
    done = make("psql", typed="\\pset tuples_only\nSELECT current_user, engine.edition() IS NOT NULL;\n", **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == [role, "|", "t"]


def test_the_service_runs_takes_a_simulated_fleet_and_stops(make, database_url, tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(
            command(tmp_path, "run"),
            env=environment(database_url, PORT=str(port), LOG_LEVEL="info"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_ready(url), 60)
        done = make("simulate", ARGS=f"--url {url} --devices 3 --hours 1 --check")
        assert done.returncode == 0, done.stderr + done.stdout
    finally:
        # As Ctrl-C does: to make and to what it runs.
        subprocess.run(["kill", "-INT", "--", f"-{serving.pid}"], check=True)
        serving.wait(60)
    assert not is_ready(url)


def is_ready(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/health/ready", timeout=5).status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("target", sorted(CONTAINERS))
def test_without_docker_the_answer_says_so(target, database_url, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "make"):
        (tools / tool).symlink_to(
            subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()
        )
    done = subprocess.run(
        command(tmp_path, target),
        env=environment(database_url, PATH=str(tools)),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("Error: this needs Docker")
    assert not (tmp_path / ".env").exists()


def test_the_benchmark_tells_what_it_takes(told):
    assert "--edition {timescale,postgres}" in told("bench", ARGS="--help")
