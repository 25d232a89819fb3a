"""Rollback: it says what would be lost, waits for nobody to need it, and leaves answers that are those of what is left."""

from __future__ import annotations

import psycopg
import pytest
from fix_service import ago, meter_reading, now, send, vehicle_reading
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle

from service.database.losses import plan_rollback
from service.database.migrate import known_migrations, migrate, rollback
from service.errors import OperationError

ALL = len(known_migrations("postgres"))
STEPS = (1, ALL // 2, ALL - 2, ALL)
RELATIONS = r"""
SELECT c.oid::regclass::text, format('%I.%I', c.relnamespace::regnamespace, c.relname)
FROM pg_class AS c
WHERE (c.relkind = 'r' AND c.relnamespace = to_regnamespace('engine') AND c.relname NOT IN ('stale_hour', 'horizon'))
    OR (c.relkind IN ('r', 'v') AND c.relnamespace = 'public'::regnamespace AND c.relname ~ '_telemetry_|^device_mapping$')
"""


@pytest.fixture
def filled(connection):
    """Three vehicles and meters with readings of today and yesterday, mapped and rolled up."""
    for n in (1, 2, 3):
        connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{n}", f"V{n}"])
        times = [now().replace(microsecond=0), now().replace(microsecond=0, hour=0, minute=0)]
        ingest(connection, *(meter(f"M{n}", ts, 10) for ts in times), *(vehicle(f"V{n}", ts, 8) for ts in times))
    refresh(connection)
    return connection


def counts(connection) -> dict[str, int]:
    """Return how many rows each relation has that has any; those that only keep a refresh's books are left out."""
    found = {
        name: connection.execute(f"SELECT count(*) FROM {relation}").fetchone()[0]
        for relation, name in connection.execute(RELATIONS).fetchall()
    }
    # The newest migration but renames this table; analysts read it by its earlier name.
    found["public.device_mapping"] = found.pop("engine.mapping", found.get("public.device_mapping"))
    return {name: rows for name, rows in found.items() if rows}


def test_without_confirmation_it_says_what_would_be_lost_and_changes_nothing(make, filled, database_url):
    for variables in ({"ALL": "1"}, {"ALL": "1", "CONFIRM": "no"}):
        done = make("rollback", **variables)
        assert done.returncode != 0
        assert "CONFIRM=yes" in done.stderr
        lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[2:]}
        first = filled.execute("SELECT min(ts) FROM meter_telemetry_history").fetchone()[0]
        assert lines["public.meter_telemetry_history"] == ["6", first.strftime("%Y-%m-%dT%H:%M:%SZ")]
        assert lines["public.device_mapping"] == ["3", "-"]
        assert lines["engine.vehicle_state"][0] == "3"
    assert counts(filled)["public.meter_telemetry_history"] == 6
    assert make("rollback", CONFIRM="yes").stdout.endswith("Undone: 0013.alerts.\n")


def test_while_a_service_is_connected_it_refuses_and_changes_nothing(make, client, connection):
    send(client, meter_reading())
    before = counts(connection)
    done = make("rollback", CONFIRM="yes", ALL="1")
    assert done.returncode != 0
    assert "public.meter_telemetry_history" in done.stdout
    assert "a service is connected" in done.stderr
    assert counts(connection) == before
    assert client.get("/v1/status/overview").json()["totalMeters"] == 1


@pytest.mark.parametrize("steps", STEPS)
def test_what_it_says_is_what_is_lost(filled, database_url, steps):
    before, said = counts(filled), {}
    for _ in range(steps):
        plan = plan_rollback(database_url)
        said |= {loss.name: loss.rows for loss in plan.losses}
        assert rollback(database_url) == plan.migrations
    left = counts(filled)
    assert before.keys() - left.keys() <= said.keys()
    gone = {name: rows for name, rows in before.items() if name not in left and name.startswith("public.")}
    assert {name: said[name] for name in gone} == gone
    assert not {name for name in said if name in left and "." not in name.partition(".")[2]}


@pytest.mark.parametrize("steps", STEPS)
def test_afterwards_every_answer_is_that_of_what_is_left(filled, database_url, open_client, steps):
    for _ in range(steps):
        rollback(database_url)
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        refresh(connection)
        assert_rollups_are_exact(connection)
        raw = connection.execute(
            "SELECT count(DISTINCT meter_id), coalesce(sum(kwh_consumed_ac), 0) FROM meter_telemetry_history"
        ).fetchone()
    client = open_client()
    fleet = client.get("/v1/analytics/fleet/efficiency").json()
    assert fleet["totalVehicles"] == raw[0]
    overview = client.get("/v1/status/overview").json()
    assert (overview["totalMeters"], overview["totalVehicles"], overview["totalDailyKwhConsumed"]) == (
        raw[0],
        raw[0],
        raw[1],
    )
    send(
        client,
        meter_reading(meterId="NEW", timestamp=ago(seconds=1)),
        vehicle_reading(vehicleId="NEW", timestamp=ago(seconds=1)),
    )
    assert client.get("/v1/status/overview").json()["totalVehicles"] == raw[0] + 1
    assert client.get("/v1/analytics/fleet/efficiency").json()["totalVehicles"] == raw[0] + 1


def test_hot_status_that_an_earlier_rollback_left_behind_goes_when_history_is_made(filled, database_url):
    for _ in range(ALL - 1):
        rollback(database_url)
    filled.execute("INSERT INTO engine.meter_state VALUES ('GONE', now(), 1, 230, current_date, 1, 0)")
    migrate(database_url)
    assert filled.execute("SELECT * FROM engine.device_counts()").fetchone() == (0, 0)


def test_a_service_is_known_wherever_it_connects_from(client, connection, database_url):
    with pytest.raises(OperationError, match="stop it first"):
        rollback(database_url)
