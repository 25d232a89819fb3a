"""The table, and the file that holds everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.figure import Figure, amount

_MET = {True: "yes", False: "NO", None: ""}


def head(facts: dict[str, Any]) -> str:
    """Return in a few lines what the figures depend on."""
    machine, database, options = facts["machine"], facts["database"], facts["options"]
    postgres = f"PostgreSQL {database['server_version'].split()[0]}"
    if database["timescaledb"]:
        postgres += f" with TimescaleDB {database['timescaledb']}"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    settings = ("fsync", "synchronous_commit", "full_page_writes", "wal_compression", "shared_buffers")
    return "\n".join(
        [
            f"{options['edition']} edition, {facts['date']}, commit {facts['commit']}",
            f"{machine['cores']} cores of {machine['cpu']}, {machine['ram_gib']} GiB, {machine['system']}",
            f"{postgres}: " + ", ".join(f"{name}={database[name]}" for name in settings),
            f"Python {machine['python']}, {packages}",
            f"{options['workers']} worker(s), {options['writers'] or 'default'} writers, {options['devices']:,} meters "
            f"and as many vehicles; load, service and PostgreSQL share the cores; load average before: "
            f"{machine['load_average_at_start']:.2f}" + (" (quick)" if options["quick"] else ""),
        ]
    )


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as an aligned table with their notes below."""
    notes: list[str] = []
    rows = [("part", "what", "figure", "target", "met")]
    for figure in figures:
        what = figure.what
        if figure.note:
            if figure.note not in notes:
                notes.append(figure.note)
            what += f" [{notes.index(figure.note) + 1}]"
        rows.append((figure.part, what, amount(figure.value, figure.unit), figure.target, _MET[figure.met]))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    rows.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *(f"[{n}] {note}" for n, note in enumerate(notes, 1))])


def write_results(path: Path, facts: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Write facts and figures as JSON; a figure that could not be measured is null."""
    entries = [
        asdict(figure) | {"value": figure.value if figure.value == figure.value else None, "met": figure.met}
        for figure in figures
    ]
    path.write_text(json.dumps(facts | {"figures": entries}, indent=2, default=str) + "\n")
