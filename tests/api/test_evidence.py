"""Evidence over HTTP: each reason is named, with the energy concerned, and the verdict follows."""

from __future__ import annotations

import pytest
from fix_service import meter_reading, send, vehicle_reading
from fleet import at, before_and_after_refresh, map_own_meter

DAY = {"hours": 24, "end": at(24)}


def hour(client, number: int, *, dc: float | None, ac: float | None, each: int = 1, **fields: object) -> None:
    """Report each minute of an hour, or every few: DC of the vehicle and AC of its meter in kWh a reading."""
    readings = []
    for minute in range(0, 60, each):
        time = at(number, minutes=minute)
        if dc is not None:
            readings.append(vehicle_reading(vehicleId="V1", kwhDeliveredDc=dc, timestamp=time, **fields))
        if ac is not None:
            readings.append(meter_reading(meterId="M-V1", kwhConsumedAc=ac, timestamp=time))
    send(client, *readings)


@pytest.fixture
def charged(client):
    """A vehicle at its meter, with one sound hour: 9 of 10 kWh."""
    map_own_meter(client, "V1")
    hour(client, 1, dc=0.15, ac=0.1666)
    return client


def answer_of(client) -> dict:
    return client.get("/v1/analytics/performance/V1", params=DAY).json()


def reasons_of(client) -> dict[str, float | None]:
    return {reason["reason"]: reason["kwh"] for reason in answer_of(client)["reasons"]}


def test_a_sound_ratio_says_so(charged, connection):
    for _ in before_and_after_refresh(connection):
        answer = answer_of(charged)
        assert (answer["verdict"], answer["reasons"], answer["pairedShare"]) == ("sound", [], 1)
        assert answer["pairedRatio"] == answer["efficiencyRatio"] == 0.9004


@pytest.mark.parametrize(
    ("report", "reasons", "verdict"),
    [
        ({"dc": None, "ac": 0.1}, {"vehicleSilent": 6}, "partial"),
        ({"dc": 0.1, "ac": None}, {"meterSilent": 6, "ratioAboveOne": 5.004}, "implausible"),
        ({"dc": 0.03, "ac": None}, {"meterSilent": 1.8, "ratioAboveOne": 0.804}, "implausible"),
        ({"dc": 0, "ac": 0.05}, {"standbyDraw": 3}, "partial"),
        ({"dc": 0.01, "ac": 0}, {"chargedElsewhere": 0.6}, "partial"),
    ],
)
def test_a_reason_is_named_with_its_energy(charged, connection, report, reasons, verdict):
    hour(charged, 3, **report)
    for _ in before_and_after_refresh(connection):
        assert reasons_of(charged) == pytest.approx(reasons)
        answer = answer_of(charged)
        assert answer["verdict"] == verdict
        # A standing draw is a loss of the charger; every other hour stays out of the paired ratio.
        assert answer["pairedRatio"] == (0.9004 if "standbyDraw" not in reasons else 0.6925)


def test_one_that_charges_elsewhere_has_the_ratio_of_its_own_charger(client, connection):
    map_own_meter(client, "V1")
    for number in (1, 2, 3):
        hour(client, number, dc=0.2222, ac=0.2778)
    hour(client, 5, dc=0.1, ac=0)
    for _ in before_and_after_refresh(connection):
        answer = answer_of(client)
        assert answer["efficiencyStatus"] == "good"  # what all DC over all AC says
        assert answer["pairedRatio"] == 0.7999
        assert reasons_of(client) == {"chargedElsewhere": 6}
        assert answer["verdict"] == "partial"


def test_energy_that_is_stuck_is_no_loss_of_the_charger(charged, connection):
    readings = []
    for minute in range(37):
        time = at(3, minutes=minute)
        readings.append(vehicle_reading(vehicleId="V1", kwhDeliveredDc=0, soc=62 + minute / 4, timestamp=time))
        readings.append(meter_reading(meterId="M-V1", kwhConsumedAc=0.1167, timestamp=time))
    send(charged, *readings)
    for _ in before_and_after_refresh(connection):
        assert reasons_of(charged) == {"vehicleSilent": 4.3179, "energyStuck": 4.3179}
        answer = answer_of(charged)
        assert (answer["pairedRatio"], answer["verdict"]) == (0.9004, "partial")


def test_a_minute_sent_twice_under_two_times_is_told(charged, connection):
    again = [
        vehicle_reading(vehicleId="V1", kwhDeliveredDc=0.15, timestamp=at(1, minutes=m, seconds=2)) for m in range(60)
    ]
    send(charged, *again)
    for _ in before_and_after_refresh(connection):
        answer = answer_of(charged)
        assert reasons_of(charged) == {"ratioAboveOne": 8.004, "tooManyReadings": 27.996}
        assert (answer["verdict"], answer["efficiencyStatus"]) == ("implausible", "unknown")
        assert answer["coverage"]["vehicle"] == 0.0417  # 60 minutes of 1,440, not 120


def test_a_period_that_cuts_a_session_says_so(charged):
    answer = charged.get("/v1/analytics/performance/V1", params={"hours": 1, "end": at(1.5)}).json()
    assert [reason["reason"] for reason in answer["reasons"]] == ["cutSession"]
    assert answer["verdict"] == "partial"


def test_a_meter_that_served_two_vehicles_is_told(charged):
    assert charged.put("/v1/telemetry/mapping/M-V1/V2", json={"from": at(12)}).status_code == 200
    assert reasons_of(charged) == {"sharedMeter": 9.996}


def test_neither_side_moved_energy(client):
    map_own_meter(client, "V1")
    hour(client, 1, dc=0, ac=0)
    assert answer_of(client)["verdict"] == "idle"


def test_devices_with_a_longer_interval_are_judged_by_it(client, connection):
    connection.execute(
        "INSERT INTO public.device (kind, device_id, interval_seconds) VALUES ('meter', 'M-V1', 900), ('vehicle', 'V1', 900)"
    )
    map_own_meter(client, "V1")
    hour(client, 1, dc=2, ac=2.2, each=15)
    answer = answer_of(client)
    assert (answer["verdict"], answer["coverage"]) == ("sound", {"meter": 0.0417, "vehicle": 0.0417})
