"""What a rollback would lose: the relations that its scripts drop, with their rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import Connection, sql

from service.database.migrate import connect, rollback_scripts

COUNTED_ROWS = 1_000_000
"""Rows beyond this many are not counted."""

_DROPPED = re.compile(r"^DROP (?:TABLE|MATERIALIZED VIEW) (?:IF EXISTS )?([\w.]+)", re.MULTILINE)
_DROPPED_SCHEMA = re.compile(r"^DROP SCHEMA (\w+) CASCADE", re.MULTILINE)
_DROPPED_COLUMN = re.compile(r"^ALTER TABLE ([\w.]+)[^;]*?\bDROP COLUMN (?:IF EXISTS )?(\w+)", re.MULTILINE)
_MADE = re.compile(r"^CREATE (?:TABLE|MATERIALIZED VIEW) ([\w.]+)", re.MULTILINE)
_RENAMED = re.compile(r"^ALTER (?:TABLE|MATERIALIZED VIEW) (\w+)\.\w+ RENAME TO (\w+)", re.MULTILINE)
# db/functions/settle.sql empties these when history is gone.
_HISTORY, _HOT_STATUS = "public.meter_telemetry_history", ("engine.meter_state", "engine.vehicle_state")


@dataclass(frozen=True)
class Loss:
    """A relation, or a column of one, that goes, its rows (COUNTED_ROWS + 1: more) and the time of the oldest."""

    name: str
    rows: int
    since: datetime | None


@dataclass(frozen=True)
class RollbackPlan:
    """The migrations that a rollback would undo, newest first, and what would be lost with them."""

    migrations: list[str]
    losses: list[Loss]


def plan_rollback(url: str, everything: bool = False) -> RollbackPlan:
    """Return what `rollback` would undo and lose, and change nothing; raise DatabaseUnavailableError."""
    with connect(url) as connection:
        scripts = rollback_scripts(connection, everything)
        relations: dict[str, None] = {}
        columns: list[tuple[str, str]] = []
        for script in scripts:
            text = script.read_text()
            relations |= dict.fromkeys(_dropped_relations(connection, text))
            columns += _DROPPED_COLUMN.findall(text)
        if _HISTORY in relations:
            relations |= dict.fromkeys(_HOT_STATUS)
        losses = [_loss(connection, name, name) for name in relations]
        losses += [_loss(connection, table, f"{table}.{name}") for table, name in columns if table not in relations]
    return RollbackPlan([_name(script) for script in scripts], [loss for loss in losses if loss.rows])


def _name(script: Path) -> str:
    return script.name.removesuffix(".rollback.sql")


def _dropped_relations(connection: Connection[Any], script: str) -> list[str]:
    """Return the relations that are there and that a script drops without making them again."""
    made = {*_MADE.findall(script), *(".".join(names) for names in _RENAMED.findall(script))}
    named = [name for name in _DROPPED.findall(script) if name not in made]
    rows = connection.execute(
        "SELECT format('%%I.%%I', c.relnamespace::regnamespace, c.relname) FROM pg_class AS c "
        "WHERE c.relkind IN ('r', 'v') AND (c.oid = ANY (SELECT to_regclass(n)::oid FROM unnest(%s::text[]) AS n) "
        "OR c.relkind = 'r' AND c.relnamespace = ANY (SELECT to_regnamespace(n)::oid FROM unnest(%s::text[]) AS n)) "
        "ORDER BY 1",
        [named, _DROPPED_SCHEMA.findall(script)],
    )
    return [name for (name,) in rows]


def _loss(connection: Connection[Any], relation: str, name: str) -> Loss:
    table = sql.Identifier(*relation.split("."))
    (rows,) = connection.execute(
        sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS r").format(table, sql.Literal(COUNTED_ROWS + 1))
    ).fetchone() or (0,)
    column = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND atttypid = 'timestamptz'::regtype "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1",
        [relation],
    ).fetchone()
    since = None
    if column is not None:
        # In this order TimescaleDB reads the oldest chunk alone.
        oldest = sql.SQL("SELECT {0} FROM {1} WHERE isfinite({0}) ORDER BY {0} LIMIT 1")
        (since,) = connection.execute(oldest.format(sql.Identifier(column[0]), table)).fetchone() or (None,)
    return Loss(name, rows, since)
