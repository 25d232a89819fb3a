"""The dashboards' panels, and their queries the way Grafana would send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "db" / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted((FOLDER / "grafana").glob("*.json"))
}
DATABASE, PROMETHEUS = "ev-engine-database", "ev-engine-prometheus"


@dataclass(frozen=True)
class Query:
    """A query of a panel: SQL, or PromQL."""

    board: str
    panel: str
    kind: str
    text: str

    @property
    def name(self) -> str:
        """Name the query in one line."""
        return f"{self.board}: {self.panel}"


def queries(datasource: str) -> Iterator[Query]:
    """Yield every query that goes to a datasource."""
    for board, content in BOARDS.items():
        for panel in content["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["uid"] == datasource:
                    text = target["rawSql"] if datasource == DATABASE else target["expr"]
                    yield Query(board, panel["title"], panel["type"], text)


def as_sent(sql: str, start: datetime, end: datetime, vehicle: str) -> str:
    """Put values in place of Grafana's macros and variables, as it does."""
    values = {
        "$__timeFrom()": _literal(start),
        "$__timeTo()": _literal(end),
        "${vehicle:sqlstring}": "'" + vehicle.replace("'", "''") + "'",
    }
    for name, value in values.items():
        sql = sql.replace(name, value)
    assert "$" not in sql, f"a macro or variable that this does not know: {sql}"
    return sql


def _literal(moment: datetime) -> str:
    return f"'{moment.astimezone(UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}'"
