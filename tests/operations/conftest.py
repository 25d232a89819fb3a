"""Make targets, run as an operator runs them, on the test's database and on no other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from targets import command, environment

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(database_url: str, tmp_path: Path) -> Make:
    """Run a target: make("retention-set", TABLE=..., KEEP=...); `url` names another database, `typed` is its input."""

    def run(
        target: str, url: str = database_url, typed: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(tmp_path, target, **variables),
            env=environment(url),
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def told(make: Make) -> Callable[..., str]:
    """Run a target that must succeed and return what it prints."""

    def run(target: str, **variables: str) -> str:
        done = make(target, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def refused(make: Make) -> Callable[..., str]:
    """Run a target that must be refused, in one line, and return that line."""

    def run(target: str, **variables: str) -> str:
        done = make(target, **variables)
        assert done.returncode != 0, done.stdout
        lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("Error: ")
        return lines[0]

    return run
