"""A server clock that was once ahead: what it left is put right, and every answer stays exact meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fix_service import meter_reading, now, send, vehicle_reading, wait_until
from staging import assert_rollups_are_exact, ingest, meter, refresh, vehicle

AHEAD = timedelta(days=2)


def horizon(connection) -> list[tuple]:
    return connection.execute("SELECT late_before, rolled_up_before FROM engine.horizon ORDER BY stream").fetchall()


def due(connection):
    return connection.execute("SELECT date_bin('15 minutes', now() - engine.rollup_delay(), 'epoch')").fetchone()[0]


def assert_answers_are_raw_sums(connection) -> None:
    raw = tuple(
        connection.execute(
            f"SELECT sum({energy}) FROM {stream}_telemetry_history WHERE ts >= %s", [start(now())]
        ).fetchone()[0]
        for stream, energy in (("meter", "kwh_consumed_ac"), ("vehicle", "kwh_delivered_dc"))
    )
    end = now() + timedelta(minutes=10)
    (count,) = connection.execute("SELECT count(*) FROM vehicle_telemetry_history").fetchone()
    one = connection.execute(
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc, readings_count FROM vehicle_performance('V1', 48, %s)",
        [end],
    ).fetchone()
    assert one == (*raw, count)
    for question in (
        "SELECT total_kwh_consumed_ac, total_kwh_delivered_dc FROM fleet_efficiency(48, %s)",
        "SELECT sum(kwh_consumed_ac), sum(kwh_delivered_dc) FROM vehicle_trend('V1', 48, %s)",
    ):
        assert connection.execute(question, [end]).fetchone() == raw, question


def start(moment):
    return moment - timedelta(hours=47)


@pytest.fixture
def ahead(connection):
    """A day of history that a refresh rolled up two days beyond now."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    report(connection, *(timedelta(minutes=20 * n) for n in range(1, 72)))
    refresh(connection)
    until = due(connection) + AHEAD
    connection.execute("UPDATE engine.horizon SET late_before = %s", [until])
    for stream in ("meter", "vehicle"):
        connection.execute("CALL engine.refresh_period(%s, %s, %s, false)", [stream, until - AHEAD, until])
    connection.execute("UPDATE engine.horizon SET rolled_up_before = %s", [until])
    connection.execute("SET client_min_messages = error")
    return connection


def report(connection, *ages: timedelta) -> None:
    times = [now() - age for age in ages]
    assert ingest(connection, *(meter("M1", ts, 10) for ts in times), *(vehicle("V1", ts, 8) for ts in times)) == (
        [],
        [],
    )


@pytest.mark.edition("timescale", reason="only there a refresh moves the horizon")
class TestHorizon:
    def test_a_refresh_puts_a_horizon_that_lies_ahead_back_to_what_is_due(self, ahead):
        problems = [topic for (topic,) in ahead.execute("SELECT topic FROM engine.problems()")]
        assert problems == ["clock meter", "clock vehicle"]
        before = due(ahead)
        refresh(ahead)
        assert {time for times in horizon(ahead) for time in times} <= {before, due(ahead)}
        assert ahead.execute("SELECT topic FROM engine.problems()").fetchall() == []

    def test_answers_equal_raw_sums_at_every_step(self, ahead):
        assert_answers_are_raw_sums(ahead)
        report(ahead, timedelta(minutes=1), timedelta(hours=5, minutes=7), timedelta(minutes=-4))
        assert_answers_are_raw_sums(ahead)
        refresh(ahead)
        assert_answers_are_raw_sums(ahead)
        assert_rollups_are_exact(ahead)
        report(ahead, timedelta(minutes=2), timedelta(hours=6, minutes=7), timedelta(minutes=-3))
        assert_answers_are_raw_sums(ahead)
        for _ in range(2):
            refresh(ahead)
            assert_answers_are_raw_sums(ahead)
            assert_rollups_are_exact(ahead)

    @pytest.mark.parametrize("later", [timedelta(minutes=15), timedelta(hours=1), timedelta(days=1), timedelta(days=3)])
    def test_what_came_meanwhile_is_rolled_up_when_its_time_comes(self, ahead, later):
        """Time is put forward by rolling up what will be due then."""
        report(ahead, timedelta(minutes=1), timedelta(minutes=-4))
        refresh(ahead)
        report(ahead, timedelta(minutes=2), timedelta(minutes=-3))
        until = due(ahead) + later
        ahead.execute("UPDATE engine.horizon SET late_before = %s", [until])
        for stream in ("meter", "vehicle"):
            ahead.execute("CALL engine.refresh_stream(%s)", [stream])
        assert horizon(ahead) == [(until, until)] * 2
        assert_answers_are_raw_sums(ahead)
        assert_rollups_are_exact(ahead)

    def test_a_reading_of_now_is_late_no_more(self, ahead):
        report(ahead, timedelta(minutes=1))
        assert ahead.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (2,)
        for _ in range(2):
            refresh(ahead)
        report(ahead, timedelta(minutes=2))
        assert ahead.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (0,)

    def test_a_horizon_that_lies_where_it_should_is_left_alone(self, ahead):
        refresh(ahead)
        (forced,) = ahead.execute("SELECT max(forced_before) FROM engine.horizon").fetchone()
        before = horizon(ahead)
        refresh(ahead)
        assert horizon(ahead) >= before
        assert ahead.execute("SELECT max(forced_before) FROM engine.horizon").fetchone() == (forced,)


def test_daily_totals_of_a_day_to_come_are_counted_anew(client, connection, edition):
    send(
        client,
        meter_reading(kwhConsumedAc=3, timestamp=now().isoformat()),
        vehicle_reading(kwhDeliveredDc=2, timestamp=now().isoformat()),
    )
    for stream in ("meter", "vehicle"):
        connection.execute(f"UPDATE engine.{stream}_state SET day = day + 2")
    overview = client.get("/v1/status/overview").json()
    assert (overview["totalDailyKwhConsumed"], overview["totalDailyKwhDelivered"]) == (0, 0)

    def counted_anew() -> bool:
        # On plain PostgreSQL the service itself may be at it: then this call leaves it to that.
        connection.execute("CALL engine.refresh_rollups()" if edition == "timescale" else "CALL engine.run_upkeep()")
        overview = client.get("/v1/status/overview").json()
        return (overview["totalDailyKwhConsumed"], overview["totalDailyKwhDelivered"]) == (3, 2)

    wait_until(counted_anew)
