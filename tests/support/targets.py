"""How the tests run make targets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)


def command(folder: Path, target: str, **variables: str) -> list[str | Path]:
    """Return how to run a target from a folder of its own, so that a developer's .env is not read."""
    stamps = (".installed", ".installed-simulate", ".installed-dev")
    made = [argument for stamp in stamps for argument in ("-o", str(VENV / stamp))]
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
