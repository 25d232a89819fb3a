"""The image and the unit: small, not root, with time to stop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.settings import Settings

TOP = Path(__file__).parents[2]
DOCKERFILE = (TOP / "deploy" / "Dockerfile").read_text()
UNIT = TOP / "deploy" / "ev-engine.service"
# What a worker may take to stop: the longest request, and the 10 seconds beside it (service/server.py).
STOP_SECONDS = Settings().request_timeout_seconds + 10


def test_the_image_runs_as_a_user_that_is_not_root_and_has_a_health_check():
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert "/health/ready" in DOCKERFILE.split("HEALTHCHECK")[1].splitlines()[1]
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)
    assert "PASSWORD" not in DOCKERFILE


def test_the_build_is_given_what_it_copies_and_nothing_else():
    allowed = {
        line[1:] for line in (TOP / "deploy" / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = {
        name for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    assert copied == allowed
    assert all((TOP / name).exists() for name in copied)


def test_the_database_of_containers_outlives_them():
    database = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]["timescaledb"]
    major = int(re.search(r"-pg(\d+)$", database["image"])[1])
    # Where the image keeps its data; without a volume just there, a container would take the data with it.
    folder = "/var/lib/postgresql" if major >= 18 else "/var/lib/postgresql/data"
    assert f"database:{folder}" in database["volumes"]


def test_containers_have_more_time_to_stop_than_the_service_takes():
    compose = yaml.safe_load((TOP / "compose.yaml").read_text())
    service = compose["services"]["service"]
    assert (TOP / service["build"]["dockerfile"]).read_text() == DOCKERFILE
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS


def test_containers_take_every_setting_of_a_developers_env_but_their_own_address_and_database():
    service = yaml.safe_load((TOP / "compose.yaml").read_text())["services"]["service"]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    fixed = {name for name, value in service["environment"].items() if not str(value).startswith("${" + name)}
    database = {"DATABASE_URL", "DATABASE_READ_URL", "DB_HOST", "DB_PORT", "DB_USERNAME", "DB_NAME", "EDITION"}
    assert fixed == {"HOST", "PORT"} | database


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return value


def test_the_unit_names_files_that_an_installation_has():
    named = re.findall(r"/opt/ev-engine/([\w./-]+)", UNIT.read_text())
    assert "docs/operate.md" in named
    assert [name for name in named if not name.startswith(".venv/") and not (TOP / name).exists()] == []


def test_the_unit_stops_gently_and_waits_for_it():
    assert setting("KillMode") == "mixed", "the private database must not be stopped before the service"
    assert int(setting("TimeoutStopSec")) > STOP_SECONDS + 40, "the private database has 40 s to stop"
    assert setting("User") != "root"


@pytest.fixture
def unit(tmp_path):
    """The unit as it would be on this machine, with a program that is here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: nothing else knows what a unit may say")
    file = tmp_path / "ev-engine.service"
    program = Path(sys.executable).parent / "ev-engine"
    file.write_text(UNIT.read_text().replace("/opt/ev-engine/.venv/bin/ev-engine", str(program)))
    return file


def test_systemd_understands_the_unit(unit):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "ev-engine" in line]) == (0, [])


def test_systemd_finds_little_exposed(unit):
    # In tenths; 10.0 is a unit without any hardening.
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "--offline" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    assert done.returncode == 0, done.stdout[-400:]
