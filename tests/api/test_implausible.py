"""Implausible readings: stored and counted, and named by every answer that they are part of."""

from __future__ import annotations

import pytest
from fix_service import meter_reading, rfc3339, send
from fleet import at, charge, map_own_meter, moment

QUERY = {"hours": 24, "end": at(24)}


def warning(client, vehicle: str = "V1", **query: object) -> str | None:
    return client.get(f"/v1/analytics/performance/{vehicle}", params=QUERY | query).json()["warning"]


def marks(connection) -> list[tuple]:
    return connection.execute(
        "SELECT device_id, ts, kwh, round(kw) FROM engine.implausible_reading ORDER BY ts, device_id"
    ).fetchall()


def test_one_mistyped_reading_is_named_wherever_it_counts_and_is_gone_once_voided(client):
    for vehicle in ("V1", "V2"):
        for minute in range(5):
            charge(client, vehicle, at(1, minutes=minute), 0.9, 1)
        map_own_meter(client, vehicle)
    send(client, meter_reading(meterId="M-V1", kwhConsumedAc=50, timestamp=at(1, minutes=5)))
    said = "Implausible readings hold 50.0000 kWh: meter M-V1 sent 50.0000 in 1 reading (up to 3000 kW)"
    assert said in warning(client)
    assert said in warning(client, meterId="M-V1")
    assert warning(client, meterId="M-V2") is None
    assert warning(client, "V2") is None
    fleet = client.get("/v1/analytics/fleet/efficiency", params=QUERY).json()
    assert (fleet["totalKwhConsumedAc"], fleet["avgEfficiencyRatio"]) == (60, 0.15)
    assert fleet["warning"].startswith(said)
    assert (
        client.get("/v1/analytics/fleet/efficiency", params=QUERY | {"end": at(1, minutes=5)}).json()["warning"] is None
    )
    client.delete("/v1/telemetry/meters/M-V1/readings", params={"from": at(1, minutes=5), "to": at(2)})
    fleet = client.get("/v1/analytics/fleet/efficiency", params=QUERY).json()
    assert (fleet["totalKwhConsumedAc"], fleet["avgEfficiencyRatio"], fleet["warning"]) == (10, 0.9, None)
    assert warning(client) is None


@pytest.mark.parametrize(
    ("seconds", "kwh", "kw"),
    [
        (None, 16.6666, None),
        (None, 16.6667, 1000),
        (60, 16.6667, 1000),
        (60, 16.6666, None),
        (3600, 1000, None),
        (3600, 1000.0001, 1000),
        (10, 2.8, 1008),
        (0.001, 2.7777, None),
        (0.001, 2.7778, 1000),
    ],
)
def test_a_reading_is_implausible_above_the_limit_since_the_one_before(client, connection, seconds, kwh, kw):
    """The first of a device counts as one of a minute; an interval shorter than a second counts as a second."""
    if seconds is not None:
        send(client, meter_reading(kwhConsumedAc=0, timestamp=rfc3339(moment(10, seconds=-seconds))))
    send(client, meter_reading(kwhConsumedAc=kwh, timestamp=at(10)))
    assert [row[3] for row in marks(connection)] == ([] if kw is None else [kw])


def test_a_late_reading_is_judged_by_the_one_before_it_and_not_by_the_latest(client, connection):
    for hour in (1, 3, 20):
        send(client, meter_reading(kwhConsumedAc=0, timestamp=at(hour)))
    late = [
        meter_reading(kwhConsumedAc=2000, timestamp=at(2, minutes=59)),  # since 1: under two hours
        meter_reading(kwhConsumedAc=5, timestamp=at(3, seconds=10)),  # since 3: ten seconds
        meter_reading(kwhConsumedAc=5, timestamp=at(4)),
        meter_reading(kwhConsumedAc=17, timestamp=at(0)),  # the first now
        meter_reading(kwhConsumedAc=16, timestamp=at(-1)),
    ]
    send(client, *late)
    # By the end of the batch, the one at 0 has another an hour before it.
    assert marks(connection) == [
        ("METER-001", moment(2, minutes=59), 2000, 1008),
        ("METER-001", moment(3, seconds=10), 5, 1800),
    ]


def test_readings_of_one_batch_are_judged_by_each_other(client, connection):
    readings = [meter_reading(kwhConsumedAc=10, timestamp=at(1, seconds=20 * n)) for n in range(4)]
    send(client, *reversed(readings))
    assert [row[1] for row in marks(connection)] == [moment(1, seconds=20 * n) for n in (1, 2, 3)]


def test_a_reading_sent_again_is_judged_once(client, connection):
    reading = meter_reading(kwhConsumedAc=99, timestamp=at(1))
    send(client, reading)
    assert send(client, reading, reading | {"kwhConsumedAc": 999})["conflicts"] == 1
    assert marks(connection) == [("METER-001", moment(1), 99, 5940)]


def test_the_limit_is_a_setting(open_client, connection):
    client = open_client(max_plausible_kw=22)
    send(client, meter_reading(kwhConsumedAc=0.36, timestamp=at(1)), meter_reading(kwhConsumedAc=0.37, timestamp=at(2)))
    send(client, meter_reading(kwhConsumedAc=0.37, timestamp=at(2, minutes=1)))
    assert [row[1] for row in marks(connection)] == [moment(2, minutes=1)]


def test_a_warning_names_the_three_devices_that_weigh_most(client):
    for n in range(1, 6):
        send(client, meter_reading(meterId=f"M{n}", kwhConsumedAc=100 * n, timestamp=at(1)))
    said = client.get("/v1/analytics/fleet/efficiency", params=QUERY).json()["warning"]
    assert said.startswith("Implausible readings hold 1500.0000 kWh: meter M5 sent 500.0000 in 1 reading")
    assert "M3" in said
    assert "M2" not in said
    assert "and 2 more" in said


def test_a_deletion_past_the_engine_takes_its_mark_along(client, connection):
    send(client, meter_reading(kwhConsumedAc=100, timestamp=at(1)), meter_reading(kwhConsumedAc=9999, timestamp=at(2)))
    assert len(marks(connection)) == 2
    connection.execute("DELETE FROM meter_telemetry_history WHERE kwh_consumed_ac = 9999")
    assert [row[2] for row in marks(connection)] == [100]
    connection.execute("TRUNCATE meter_telemetry_history")
    assert marks(connection) == []
