"""What is wrong with the database's own work, or with the disk of a private one."""

from __future__ import annotations

import shutil
from pathlib import Path

from msgspec import Struct

LEAST_FREE_BYTES = 1_000_000_000
LEAST_FREE_SHARE = 0.05

PROBLEMS = "SELECT topic, problem, remedy FROM engine.problems()"
"""The query whose rows are problems."""


class Problem(Struct, frozen=True):
    """A problem in a sentence, and what to do about it; `topic` stays the same for as long as the problem lasts."""

    topic: str
    problem: str
    remedy: str


def disk_problem(folder: Path) -> Problem | None:
    """Return the problem of a folder whose disk is nearly full: less than 1 GB or 5 % is free.

    Return None as well when the folder cannot be looked at.
    """
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    if usage.free >= LEAST_FREE_BYTES and usage.free >= LEAST_FREE_SHARE * usage.total:
        return None
    return Problem(
        "disk",
        f"The disk of {folder} is nearly full: {usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free",
        "make room; make retention shows what is large, and make retention-set shortens it",
    )
