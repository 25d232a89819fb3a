"""What only TimescaleDB does: the columnstore, the scheduler, and answers that leave raw chunks alone."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from fix_service import now, wait_until
from fleet import moment
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle, waiting

pytestmark = pytest.mark.edition("timescale", reason="continuous aggregates, columnstore and jobs are TimescaleDB's")


def to_columnstore(connection, relation: str = "meter_telemetry_history") -> int:
    """Convert every chunk of a hypertable and return their number."""
    chunks = connection.execute("SELECT show_chunks(%s)::text", [f"public.{relation}"]).fetchall()
    for (chunk,) in chunks:
        connection.execute("CALL convert_to_columnstore(%s::regclass, if_not_columnstore => true)", [chunk])
    (converted,) = connection.execute(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed AND hypertable_name = %s", [relation]
    ).fetchone()
    assert converted == len(chunks) > 0
    return converted


def performance(connection) -> tuple:
    return connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc, readings_count FROM vehicle_performance('V1', 24, %s)",
        [moment(24)],
    ).fetchone()


@pytest.fixture
def compressed(connection):
    """A day of two devices in the columnstore, rolled up."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    for make, name in ((meter, "M1"), (vehicle, "V1")):
        ingest(connection, *(make(name, moment(minutes=10 * n), 1) for n in range(144)))
    refresh(connection)
    to_columnstore(connection, "meter_telemetry_history")
    to_columnstore(connection, "vehicle_telemetry_history")
    assert performance(connection) == (144, 144, 144)
    return connection


def test_late_rows_into_the_columnstore_are_exact(compressed):
    late = [meter("M1", moment(10, minutes=n), 2) for n in (1, 2)] + [vehicle("V1", moment(3, minutes=7), 3)]
    assert ingest(compressed, *late) == ([], [])
    assert performance(compressed) == (148, 147, 145)
    refresh(compressed)
    assert performance(compressed) == (148, 147, 145)
    assert_rollups_are_exact(compressed)
    to_columnstore(compressed)
    assert_rollups_are_exact(compressed)
    assert performance(compressed) == (148, 147, 145)


def test_duplicates_in_the_columnstore_are_still_told(compressed):
    readings = [
        meter("M1", moment(10), 9),
        meter("M1", moment(10, minutes=1), 1),
        vehicle("V1", moment(0), 9),
        vehicle("V1", moment(23, minutes=50), 9),
    ]
    assert ingest(compressed, *readings) == ([0, 2, 3], [])
    assert ingest(compressed, *readings) == ([0, 1, 2, 3], [])
    assert performance(compressed) == (145, 144, 144)
    assert_rollups_are_exact_after_refresh(compressed)


def assert_rollups_are_exact_after_refresh(connection) -> None:
    refresh(connection)
    assert_rollups_are_exact(connection)


def test_repairs_in_the_columnstore_are_exact(compressed):
    compressed.execute("UPDATE meter_telemetry_history SET kwh_consumed_ac = 5 WHERE ts = %s", [moment(10)])
    compressed.execute("DELETE FROM vehicle_telemetry_history WHERE ts = %s", [moment(11)])
    assert performance(compressed) == (148, 143, 143)
    assert_rollups_are_exact_after_refresh(compressed)
    assert performance(compressed) == (148, 143, 143)


def test_rollups_in_the_columnstore_take_late_rows(compressed):
    (chunk,) = compressed.execute(
        "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
        "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'meter_telemetry_hourly'"
    ).fetchone()
    for (name,) in compressed.execute("SELECT show_chunks(%s::regclass)::text", [chunk]).fetchall():
        compressed.execute("CALL convert_to_columnstore(%s::regclass)", [name])
    ingest(compressed, meter("M1", moment(10, minutes=5), 7))
    assert performance(compressed) == (151, 144, 144)
    assert_rollups_are_exact_after_refresh(compressed)


def test_policies_are_those_that_were_promised(connection):
    policies = connection.execute(
        "SELECT hypertable_name, config ->> 'compress_after' FROM timescaledb_information.jobs "
        "WHERE proc_name LIKE 'policy_compression%' AND hypertable_name LIKE '%_history' ORDER BY 1"
    ).fetchall()
    assert policies == [("meter_telemetry_history", "3 days"), ("vehicle_telemetry_history", "3 days")]
    intervals = connection.execute(
        "SELECT proc_name, schedule_interval FROM timescaledb_information.jobs WHERE proc_schema = 'engine'"
    ).fetchall()
    assert dict(intervals)["refresh_rollups"] <= timedelta(minutes=1)
    assert "apply_retention" in dict(intervals)


def test_a_snapshot_taken_while_a_refresh_begins_answers_exactly_after_it(connection, connect):
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    ingest(connection, meter("M1", moment(10), 10), vehicle("V1", moment(10), 8))
    queries = [
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM vehicle_performance('V1', 48, %s)",
        "SELECT sum(kwh_consumed_ac), sum(kwh_delivered_dc) FROM vehicle_trend('V1', 48, %s)",
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(48, %s)",
    ]
    # A writer holds the refresh up between its promise and its work; there a reader takes its snapshot.
    writer, refresher = connect(autocommit=False), connect()
    writer.execute("SELECT engine.lock_horizon('meter')")
    reader = connect(autocommit=False)
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(connection))
        before = [reader.execute(query, [moment(24)]).fetchone() for query in queries]
        writer.rollback()
        refreshed.result(timeout=30)
    after = [reader.execute(query, [moment(24)]).fetchone() for query in queries]
    assert before == after == [(10, 8)] * 3


def test_a_question_asked_before_a_refresh_and_planned_after_it_is_answered_exactly(connection, connect):
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    ingest(connection, meter("M1", moment(10), 10), vehicle("V1", moment(10), 8))
    # Its snapshot is of the statement's start; what the functions ask is planned once the lock is had.
    question = """SELECT CASE WHEN pg_advisory_lock(4711) IS NOT NULL THEN ARRAY[
        (SELECT total_kwh_consumed_ac FROM vehicle_performance('V1', 48, %(end)s)),
        (SELECT sum(kwh_consumed_ac) FROM vehicle_trend('V1', 48, %(end)s)),
        (SELECT total_kwh_consumed_ac FROM fleet_efficiency(48, %(end)s))
    ] END"""
    writer, refresher, reader = connect(autocommit=False), connect(), connect()
    connection.execute("SELECT pg_advisory_lock(4711)")
    writer.execute("SELECT engine.lock_horizon('meter')")
    with ThreadPoolExecutor(2) as pool:
        refreshed = pool.submit(refresh, refresher)
        wait_until(lambda: waiting(connection) == 1)
        asked = pool.submit(lambda: reader.execute(question, {"end": moment(24)}).fetchone())
        wait_until(lambda: waiting(connection) == 2)
        writer.rollback()
        refreshed.result(timeout=30)
        connection.execute("SELECT pg_advisory_unlock(4711)")
        assert asked.result(timeout=30) == ([10, 10, 10],)


class TestPlans:
    """Over 24 hours, only the cut edge hours may be read from raw chunks."""

    @pytest.fixture
    def fleet(self, auto_explain):
        """Five days of ten vehicles, a reading every ten minutes, rolled up."""
        connection = auto_explain
        start = now().replace(minute=0, second=0, microsecond=0) - timedelta(days=5)
        times = [start + timedelta(minutes=10 * n) for n in range(5 * 144)]
        for n in range(10):
            connection.execute("SELECT FROM engine.map_device(%s, %s)", [f"M{n}", f"V{n}"])
            ingest(connection, *(meter(f"M{n}", ts) for ts in times), *(vehicle(f"V{n}", ts) for ts in times))
        refresh(connection)
        connection.execute("ANALYZE")
        for name, value in {
            "log_min_duration": "0",
            "log_nested_statements": "on",
            "log_analyze": "on",
            "log_timing": "off",
            "log_level": "notice",
        }.items():
            connection.execute(f"SET auto_explain.{name} = {value}")
        connection.execute("SET client_min_messages = notice")
        return connection

    def rows_read(self, connection, query: str, parameters: list) -> dict[str, int]:
        """Run a query and return the rows that it read from each raw chunk, by the names of the chunks."""
        raw = {
            name: (start, end)
            for name, start, end in connection.execute(
                "SELECT chunk_name, range_start, range_end FROM timescaledb_information.chunks "
                "WHERE hypertable_name LIKE '%_history'"
            )
        }
        plans: list[str] = []
        connection.add_notice_handler(lambda diagnostic: plans.append(diagnostic.message_primary))
        connection.execute(query, parameters).fetchall()
        text = "\n".join(plans)
        assert "Query Text" in text, "auto_explain said nothing"
        read: dict[str, int] = {}
        for line in text.splitlines():
            scan = re.search(
                r"Scan.* on (?:_timescaledb_internal\.)?(_hyper_\d+_\d+_chunk)\b.*\(actual rows=([\d.]+) loops=(\d+)\)",
                line,
            )
            if scan and scan[1] in raw:
                read[scan[1]] = read.get(scan[1], 0) + int(float(scan[2]) * int(scan[3]))
        assert re.search(r"_hyper_\d+_\d+_chunk", text), "no chunk is read at all: the plans are not understood"
        return read

    QUERIES = (
        ("SELECT * FROM vehicle_performance('V3', 24, %s)", 1),
        ("SELECT * FROM vehicle_trend('V3', 24, %s)", 1),
        ("SELECT * FROM fleet_efficiency(24, %s)", 10),
    )

    @pytest.mark.parametrize(("query", "devices"), QUERIES, ids=["performance", "trend", "fleet"])
    def test_whole_hours_touch_no_raw_chunk(self, fleet, query, devices):
        end = now().replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
        assert self.rows_read(fleet, query, [end]) == {}

    @pytest.mark.parametrize(("query", "devices"), QUERIES, ids=["performance", "trend", "fleet"])
    def test_cut_hours_are_all_that_is_read_from_raw_chunks(self, fleet, query, devices):
        end = now().replace(minute=37, second=0, microsecond=0) - timedelta(days=2)
        read = self.rows_read(fleet, query, [end])
        # Half an hour at either end, three readings each, of a meter and a vehicle.
        assert 0 < sum(read.values()) <= 2 * 3 * 2 * devices
        chunks_of_the_edges = 4  # two streams, and two days
        assert len(read) <= chunks_of_the_edges
