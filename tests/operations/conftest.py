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


@pytest.fixture
def make(database_url: str, tmp_path: Path) -> Make:
    """Run a target: make("retention-set", TABLE=..., KEEP=...); `url` names another database."""

    def run(target: str, url: str = database_url, **variables: str) -> subprocess.CompletedProcess[str]:
        # From another folder, so that a developer's own .env is not read.
        command = ["make", "--no-print-directory", "-f", ROOT / "Makefile", "-C", tmp_path]
        command += ["-o", VENV / ".installed", f"VENV={VENV}", target]
        return subprocess.run(
            [*command, *(f"{name}={value}" for name, value in variables.items())],
            # Not as a part of the make that may run the tests: that one tells its options and its depth.
            env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
            | {"DATABASE_URL": url, "LOG_LEVEL": "warning"},
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
