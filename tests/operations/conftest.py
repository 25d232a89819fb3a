"""Make targets, run as an operator runs them, on the test's database and on no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)

Make = Callable[..., subprocess.CompletedProcess[str]]


def command(folder: Path, target: str, **variables: str) -> list[str | Path]:
    """Return how to run a target from a folder of its own, so that a developer's .env is not read."""
    made = [argument for stamp in (".installed", ".installed-dev") for argument in ("-o", str(VENV / stamp))]
    arguments = [f"{name}={value}" for name, value in variables.items()]
    return [
        "make",
        "--no-print-directory",
        "-f",
        ROOT / "Makefile",
        "-C",
        folder,
        *made,
        f"VENV={VENV}",
        target,
        *arguments,
    ]


def environment(url: str, **more: str) -> dict[str, str]:
    """Return an environment for make on a database.

    Not as a part of the make that may run the tests: that one tells its options and its depth.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return inherited | {"DATABASE_URL": url, "LOG_LEVEL": "warning"} | more


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
