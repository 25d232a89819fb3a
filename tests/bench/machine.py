"""What the figures depend on: the machine, the versions and the settings that matter."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil

from tests.bench.stage import Stage

_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_compression",
    "max_wal_size",
    "checkpoint_timeout",
    "shared_buffers",
    "data_checksums",
)
_PACKAGES = ("litestar", "granian", "uvloop", "msgspec", "psycopg", "psycopg-binary")


def machine_facts() -> dict[str, Any]:
    """Return what is known without a database."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[1] if model else platform.processor(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_average_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def database_facts(stage: Stage) -> dict[str, Any]:
    """Return versions and settings of the database that the service uses."""
    facts: dict[str, Any] = {name: stage.value("SELECT current_setting(%s)", name) for name in _SETTINGS}
    facts["timescaledb"] = stage.value("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return facts
