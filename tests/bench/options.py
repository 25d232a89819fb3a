"""What a run of the benchmark is asked to do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PARTS = ("copy", "batch", "single", "keys", "late", "reads", "storage", "growth", "age")
FOLDER = Path(__file__).resolve().parents[2] / ".bench"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The size of a run; times in seconds."""

    edition: str
    devices: int
    workers: int
    writers: int | None
    connections: int
    batch_readings: int
    only: frozenset[str]
    keep: bool
    quick: bool
    batch_seconds: float
    copy_seconds: float
    late_seconds: float
    single_seconds: float
    keys_rounds: int
    keys_seconds: float
    keys_turns: int
    read_history: tuple[int, ...]
    storage_devices: int
    growth_history: tuple[int, int]
    growth_rounds: int
    growth_seconds: float
    age_days: int


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; exit with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the engine on a database of its own, and compare with its targets. Rates depend on the "
        "machine and on what else runs there: compare figures of one run only.",
    )
    parser.add_argument("--edition", choices=("timescale", "postgres"), default="timescale")
    parser.add_argument("--minutes", type=float, metavar="M", help="length of the batch part (default 5)")
    parser.add_argument("--devices", type=int, default=10_000, metavar="N", help="so many meters and vehicles each")
    parser.add_argument(
        "--history", type=int, nargs="+", metavar="ROWS", help="history in the reads part; the most is growth's too"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="W", help="processes of the service")
    parser.add_argument("--writers", type=int, metavar="W", help="ingest connections a process (its own default)")
    parser.add_argument("--connections", type=int, default=16, metavar="C", help="HTTP connections that send batches")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"parts: {' '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a few minutes in all, and rougher figures")
    parser.add_argument("--keep", action="store_true", help="leave the databases in .bench/")
    given = parser.parse_args(arguments)
    if given.devices < 1000 or min(given.history or [1_000_000]) < 1_000_000:
        parser.error("--devices must be at least 1000, and --history at least 1000000")
    quick = given.quick
    return Options(
        edition=given.edition,
        devices=given.devices,
        workers=given.workers,
        writers=given.writers,
        connections=given.connections,
        batch_readings=1000,
        only=frozenset(given.only or PARTS),
        keep=given.keep,
        quick=quick,
        batch_seconds=given.minutes * 60 if given.minutes else (15 if quick else 300),
        copy_seconds=4 if quick else 10,
        late_seconds=8 if quick else 30,
        single_seconds=8 if quick else 20,
        keys_rounds=3 if quick else 6,
        keys_seconds=4 if quick else 10,
        keys_turns=200 if quick else 600,
        read_history=tuple(sorted(given.history or [2_000_000 if quick else 30_000_000])),
        storage_devices=300 if quick else 1000,
        growth_history=(1_000_000, max(given.history or [3_000_000 if quick else 10_000_000])),
        growth_rounds=2 if quick else 3,
        growth_seconds=5 if quick else 15,
        age_days=10 if quick else 90,
    )
