"""The README keeps its promises: its tour and its SQL are run, and what they print is compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ports import free_port

README = (Path(__file__).parents[2] / "README.md").read_text()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def port(database_url: str, tmp_path: Path) -> Iterator[int]:
    """Run the real service, as `make run` does, on the test's database."""
    port = free_port()
    environment = os.environ | {"DATABASE_URL": database_url, "PORT": str(port), "DB_POOL_MIN": "1"}
    command = [str(Path(sys.executable).parent / "ev-engine"), "serve"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as service:
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1).close()
                    break
                except OSError:
                    assert service.poll() is None, (tmp_path / "log").read_text()
                    subprocess.run(["sleep", "0.1"], check=True)
            yield port
        finally:
            service.terminate()
            service.wait(30)
    assert service.returncode == 0, (tmp_path / "log").read_text()


def tour() -> list[tuple[str, str]]:
    """Return the commands of the tour, each with what it prints."""
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"<!-- tour -->\n```console\n(.*?)```", README, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = step.splitlines()
            continued = [line[2:] for line in lines[1:] if line.startswith("> ")]
            steps.append(("\n".join(lines[:1] + continued), "\n".join(lines[1 + len(continued) :])))
    return steps


def test_tour_prints_what_the_readme_says_but_for_times(port: int, connection: psycopg.Connection) -> None:
    steps = tour()
    assert len(steps) > 10
    script = "\n".join(f"{command}\nprintf '\\n@@@\\n'" for command, _ in steps).replace(":3000", f":{port}")
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    printed = [part.strip() for part in done.stdout.split("@@@\n")][: len(steps)]
    for (command, expected), actual in zip(steps, printed, strict=True):
        assert TIME.sub("<time>", actual) == TIME.sub("<time>", expected), command

    (query,) = re.findall(r"<!-- sql -->\n```sql\n(.*?)```", README, re.DOTALL)
    row = connection.execute(query).fetchone()
    assert row is not None
    assert tuple(map(str, row)) == ("12.5432", "10.2345", "0.8159", "warning")
