"""Refused readings: told by device and reason, over all processes, in bounded memory."""

from __future__ import annotations

import asyncio

import pytest
from fix_service import ago, meter_reading, now, rfc3339, send, vehicle_reading, wait_until, without

from service.database.pool import ReadPool
from service.telemetry.refusals import MAX_WAITING, Refusals

PATH = "/v1/telemetry/refusals"


def told(client) -> dict[tuple[str, str], int]:
    return {(r["device"], r["reason"]): r["readings"] for r in client.get(PATH).json()["refusals"]}


def test_refused_readings_are_counted_by_device_and_reason(client):
    assert client.get(PATH).json() == {"refusals": [], "clocks": []}
    before = rfc3339(now())
    for _ in range(3):
        client.post("/v1/telemetry", json=vehicle_reading(soc=65535))
    client.post("/v1/telemetry/vehicle", json=without(vehicle_reading(vehicleId="V2", soc=-1), "type"))
    client.post("/v1/telemetry/meter", json=meter_reading(meterId="a/b"))
    client.post("/v1/telemetry/meter", content=b"[")
    batch = [
        meter_reading(meterId="M1"),
        vehicle_reading(soc=65535),
        meter_reading(meterId="M2", timestamp=ago(days=91)),
        meter_reading(meterId="M3", timestamp=ago(minutes=-10)),
        meter_reading(meterId="M3", timestamp=ago(minutes=-11)),
        "nonsense",
    ]
    client.post("/v1/telemetry/batch", json={"readings": batch})
    client.post("/v1/telemetry", json=meter_reading(meterId="M2", timestamp=ago(days=91)))
    found = told(client)
    assert {device: count for (device, _), count in found.items() if device != "unknown"} == {
        "vehicle:VH-001": 4,
        "vehicle:V2": 1,
        "meter:?": 1,
        "meter:M2": 2,
        "meter:M3": 2,
    }
    assert found["vehicle:VH-001", "soc must be <= 100"] == 4
    assert found["meter:M3", "timestamp must not be later than the limit"] == 2
    assert sum(found.values()) == 12
    first = next(r for r in client.get(PATH).json()["refusals"] if r["device"] == "vehicle:VH-001")
    assert first["field"] == "soc"
    assert before <= first["firstAt"] < first["lastAt"] <= rfc3339(now())


def test_a_reading_that_a_key_may_not_send_is_told_as_refused(open_client, make_key):
    client = open_client(auth="on")
    client.post("/v1/telemetry", json=meter_reading(), headers=make_key("ingest", device_id="M1"))
    assert client.get(PATH, headers=make_key("ingest")).status_code == 403
    (refusal,) = client.get(PATH, headers=make_key("read")).json()["refusals"]
    assert (refusal["device"], refusal["field"]) == ("meter:METER-001", "meterId")


def test_other_processes_tell_theirs_within_seconds(open_client):
    first, second = open_client(), open_client()
    first.post("/v1/telemetry", json=vehicle_reading(soc=101))
    second.post("/v1/telemetry", json=vehicle_reading(soc=101))
    wait_until(lambda: told(second) == {("vehicle:VH-001", "soc must be <= 100"): 2})


def test_the_latest_thousand_stay_and_the_latest_come_first(client, connection):
    for n in range(3):
        batch = [vehicle_reading(vehicleId=f"V{n}-{k}", soc=101) for k in range(400)]
        client.post("/v1/telemetry/batch", json={"readings": batch})
        client.get(PATH)
    assert connection.execute("SELECT count(*) FROM engine.refusal").fetchone() == (1000,)
    refusals = client.get(PATH, params={"limit": 400}).json()["refusals"]
    assert {r["device"].partition("-")[0] for r in refusals} == {"vehicle:V2"}
    assert len(refusals) == 400
    assert client.get(PATH, params={"limit": 1001}).status_code == 400


def test_a_clock_that_is_wrong_is_told_by_how_much(client):
    def report(make, **fields: object) -> None:
        for back in range(6):
            seconds = fields["behind"] + 60 * back
            reading = make(**{k: v for k, v in fields.items() if k != "behind"}, timestamp=ago(seconds=seconds))
            assert client.post("/v1/telemetry", json=reading).status_code == 201

    # Six readings of the last minutes are sent one after the other: as a device with a right clock would send them late.
    report(meter_reading, meterId="SENDS-AT-ONCE", behind=0)
    report(meter_reading, meterId="SENDS-OLD-ONES", behind=3600)
    assert client.get(PATH).json()["clocks"] == []
    for n in range(6):
        send(
            client,
            meter_reading(meterId="SLOW", timestamp=ago(hours=2, milliseconds=-n)),
            vehicle_reading(vehicleId="FAST", timestamp=ago(seconds=-270, milliseconds=-n)),
            vehicle_reading(vehicleId="RIGHT", timestamp=ago(seconds=1, milliseconds=-n)),
        )
    send(client, *(meter_reading(meterId="NEW", timestamp=ago(hours=2, milliseconds=-n)) for n in range(4)))
    slow, fast = client.get(PATH).json()["clocks"]
    assert (slow["device"], fast["device"], slow["readings"]) == ("meter:SLOW", "vehicle:FAST", 6)
    assert abs(slow["secondsBehind"] - 7200) <= 2
    assert abs(fast["secondsBehind"] + 270) <= 2


@pytest.mark.edition("postgres", reason="it is about the service's memory")
def test_memory_is_bounded_and_no_count_is_lost(database_url, connection):
    async def note() -> None:
        pool = ReadPool(database_url, min_size=1, max_size=2, timeout_seconds=5)
        refusals = Refusals(pool)
        for n in range(3 * MAX_WAITING):
            refusals.note(f"meter:M{n}", "voltage", "voltage must be <= 1000")
        assert len(refusals._waiting) <= MAX_WAITING + 1
        with pytest.raises(Exception, match="not open yet"):
            await refusals.flush()  # the pool is not open yet
        await pool.open()
        await refusals.flush()
        await refusals.flush()
        await pool.close()

    asyncio.run(note())
    rows = "SELECT count(*), sum(readings), max(readings) FROM engine.refusal"
    assert connection.execute(rows).fetchone() == (MAX_WAITING + 1, 3 * MAX_WAITING, 2 * MAX_WAITING)
