"""Run the benchmark."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from tests.bench.age import measure_age
from tests.bench.batch import measure_batch, measure_late
from tests.bench.copy import Yardstick
from tests.bench.figure import Figure
from tests.bench.growth import measure_growth
from tests.bench.keys import measure_keys
from tests.bench.machine import database_facts, machine_facts
from tests.bench.options import FOLDER, Options, parse
from tests.bench.reads import measure_reads
from tests.bench.report import head, table, write_results
from tests.bench.single import measure_single
from tests.bench.stage import minutes_for, open_stage
from tests.bench.storage import measure_storage


def main() -> int:
    """Measure, print and write; return 0 whether targets are met or not: a machine is no failure."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave nothing running
    FOLDER.mkdir(exist_ok=True)
    facts: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "options": asdict(options) | {"only": sorted(options.only)},
        "machine": machine_facts(),
    }
    figures: list[Figure] = []
    try:
        _measure(options, facts, figures)
    finally:
        # What was measured before a part failed is worth keeping.
        if figures:
            write_results(FOLDER / "results.json", facts, figures)
            print(f"\n{head(facts)}\n\n{table(figures)}\n\nwritten: {FOLDER}/results.json")
    return 0


def _measure(options: Options, facts: dict[str, Any], figures: list[Figure]) -> None:
    """Measure part by part, adding to `figures`."""
    # A database of its own: after a batch run autovacuum is busy for minutes, which single readings would feel.
    with open_stage(options, "single", minutes_for(options, 2 * options.single_seconds)) as stage:
        facts["database"] = database_facts(stage)
        if "single" in options.only:
            _tell("single")
            figures += measure_single(stage)
    with open_stage(options, "ingest", _ingest_minutes(options)) as stage:
        yardstick = Yardstick(stage) if "copy" in options.only else None
        if yardstick:
            _tell("copy")
            yardstick.run(options.copy_seconds / (2 if "batch" in options.only else 1))
        if "batch" in options.only:
            _tell("batch")
            figures += measure_batch(stage, yardstick)
        if yardstick:
            figures += yardstick.figures()
        if "late" in options.only:
            _tell("late")
            figures += measure_late(stage)
    for name, measure in (
        ("keys", measure_keys),
        ("reads", measure_reads),
        ("storage", measure_storage),
        ("growth", measure_growth),
        ("age", measure_age),
    ):
        if name in options.only:
            _tell(name)
            figures += measure(options)


def _ingest_minutes(options: Options) -> int:
    copying = minutes_for(options, 2 * options.copy_seconds, 600_000)
    return copying + minutes_for(options, options.batch_seconds + options.late_seconds)


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _tell(part: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {part} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
