"""The database's volume fills up while readings come in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from postmaster import Postmaster, wait_for

VOLUME_MB = 320
RESERVE_BYTES = 3_000_000
FULL_SECONDS = 1.0


@pytest.fixture(scope="session")
def volume() -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount the small volume that fills up")
    folder = Path(tempfile.mkdtemp(prefix="ev-full-")).resolve()
    options = f"size={VOLUME_MB}m,mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "ev-full", folder], capture_output=True, text=True)
    try:
        if mounted.returncode != 0:
            pytest.skip(f"no small volume could be mounted: {mounted.stderr.strip()}")
        yield folder
        subprocess.run(["umount", folder], check=True)
    finally:
        folder.rmdir()


@pytest.fixture
def small_postmaster(volume: Path, chosen_installation) -> Iterator[Postmaster]:
    postmaster = Postmaster(volume / "data", chosen_installation)
    try:
        postmaster.start()
        yield postmaster
    finally:
        postmaster.stop()
        subprocess.run(["rm", "-rf", volume / "data"], check=True)


def test_disk_full(trial, small_postmaster, start_service, volume, repetition):
    service = start_service(DATABASE_URL=small_postmaster.url)
    ballast = volume / "ballast"
    with trial.crowd(service, batch=150) as crowd:
        fill(ballast)
        wait_for(lambda: crowd.record.statuses[503], 30)
        wait_for(lambda: not service.ready(), 30)
        time.sleep(FULL_SECONDS)
        ballast.unlink()
        if not small_postmaster.survives():
            small_postmaster.start()
        small_postmaster.wait_until_accepting()
        trial.assert_recovers(crowd, time.monotonic(), service)
    trial.conclude(small_postmaster, service)


def fill(ballast: Path) -> None:
    """Take all but a little of the volume."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - RESERVE_BYTES)
