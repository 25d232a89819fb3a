"""Migration files, once released, never change: what ran in one place ran everywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

MIGRATIONS = Path(__file__).parents[2] / "db" / "migrations"
CHECKSUMS = Path(__file__).with_name("checksums.txt")


def test_migration_files_never_change():
    pinned = dict(reversed(line.split("  ", 1)) for line in CHECKSUMS.read_text().splitlines())
    found = {
        str(path.relative_to(MIGRATIONS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in MIGRATIONS.glob("*/*.sql")
    }
    assert found == pinned
