"""Every SQL panel, sent as Grafana sends it, as an analyst, on a fleet with something of everything."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from dashboards import DATABASE, as_sent, queries
from fix_service import now
from staging import ingest, meter, refresh, vehicle

PANELS = list(queries(DATABASE))
VEHICLE = "VH-O'NEILL"


@pytest.fixture(scope="module")
def analyst(servers, edition):
    """A session as analyst on two days of three vehicles: one well, one hot and wasteful, one gone."""
    with (
        servers.database(edition) as url,
        psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection,
    ):
        readings = []
        for minutes in range(0, 48 * 60, 20):
            ts = now() - timedelta(minutes=minutes)
            readings += [
                meter("M-1", ts, 2),
                vehicle(VEHICLE, ts, 1.9),
                meter("M-2", ts, 2),
                vehicle("VH-2", ts, 1, 50, 58),
            ]
        readings += [meter("M-3", now() - timedelta(hours=3), 2), vehicle("VH-3", now() - timedelta(hours=3), 1.6)]
        readings += [meter("M-4", now(), 1, 0)]
        for meter_id, vehicle_id in (("M-1", VEHICLE), ("M-2", "VH-2"), ("M-3", "VH-3")):
            connection.execute("SELECT FROM engine.map_device(%s, %s)", [meter_id, vehicle_id])
        ingest(connection, *readings)
        refresh(connection)
        connection.execute("SET ROLE analyst")
        yield connection


def sent(sql: str) -> str:
    return as_sent(sql, now() - timedelta(days=1), now(), VEHICLE)


@pytest.mark.parametrize("panel", PANELS, ids=[panel.name for panel in PANELS])
def test_the_panel_shows_something_in_the_form_that_it_needs(analyst, panel):
    cursor = analyst.execute(sent(panel.text).encode())
    names = [column.name for column in cursor.description]
    rows = cursor.fetchall()
    assert rows, panel.name
    assert len(names) == len(set(names))
    if panel.kind == "stat":
        assert len(rows) == 1
    if panel.kind == "timeseries":
        assert names[0] == "time"
        times = [row[0] for row in rows]
        assert times == sorted(set(times))
        assert all(
            isinstance(value, int | float) or value is None or value.is_finite() for row in rows for value in row[1:]
        )


RAW_ROWS_READ = """SELECT coalesce(sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0)), 0)
FROM pg_stat_xact_all_tables AS s
WHERE s.relid IN ('meter_telemetry_history'::regclass, 'vehicle_telemetry_history'::regclass)
    OR s.relid IN (
        SELECT i.inhrelid FROM pg_inherits AS i
        WHERE i.inhparent IN ('meter_telemetry_history'::regclass, 'vehicle_telemetry_history'::regclass)
    )"""


def raw_rows_read(connection, query: str) -> int:
    """Return how many rows of history a query reads."""
    with connection.transaction():
        # A table of a few pages would be read whole, whatever there is to choose from.
        connection.execute("SET LOCAL enable_seqscan = off")
        (before,) = connection.execute(RAW_ROWS_READ).fetchone()
        connection.execute(query.encode())
        (after,) = connection.execute(RAW_ROWS_READ).fetchone()
    return after - before


OF_A_VEHICLE = [panel for panel in PANELS if panel.board == "vehicle"]


@pytest.mark.parametrize("panel", OF_A_VEHICLE, ids=[panel.name for panel in OF_A_VEHICLE])
def test_panels_of_a_vehicle_read_the_edges_of_its_own_history(analyst, panel):
    assert raw_rows_read(analyst, "SELECT sum(soc) FROM vehicle_telemetry_history") >= 288
    # Six hours of one vehicle are 18 readings; an edge and the hour that is not rolled up yet are less, on both sides.
    assert raw_rows_read(analyst, sent(panel.text)) <= 20, panel.name


def test_values_are_those_of_the_fleet(analyst):
    def shown(board: str, title: str) -> list[tuple]:
        (panel,) = [panel for panel in PANELS if (panel.board, panel.panel) == (board, title)]
        return analyst.execute(sent(panel.text).encode()).fetchall()

    assert [row[:3] for row in shown("fleet", "Least efficient vehicles")] == [
        ("VH-2", Decimal("0.5"), "critical"),
        ("VH-3", Decimal("0.8"), "warning"),
        (VEHICLE, Decimal("0.95"), "excellent"),
    ]
    # Three readings an hour; VH-2 loses 1 kWh with each, the first vehicle 0.1.
    losses = [row[:2] for row in shown("fleet", "Greatest losses")]
    assert losses == [("VH-2", 3 * 24), (VEHICLE, 3 * 24 * Decimal("0.1")), ("VH-3", Decimal("0.4"))]
    assert len(shown("fleet", "Energy by the hour")) in (24, 25)
    assert [row[:3] for row in shown("fleet", "Hot batteries")] == [("VH-2", 58, True)]
    states = {(device, state) for _, device, state, _ in shown("fleet", "Offline and faulty devices")}
    assert states == {("M-3", "offline"), ("VH-3", "offline"), ("M-4", "error")}
    assert shown("vehicle", "Meters") == [("M-1", None, None)]
    ((ratio, status, *_),) = shown("vehicle", "Efficiency")
    assert (float(ratio), status) == (0.95, "excellent")


def test_a_quote_in_a_vehicles_id_stays_inside_its_string():
    assert (
        as_sent("SELECT ${vehicle:sqlstring}", now(), now(), "'; DROP TABLE x; --") == "SELECT '''; DROP TABLE x; --'"
    )
    assert not [panel.name for panel in PANELS if "vehicle}" in panel.text or "$vehicle" in panel.text]
