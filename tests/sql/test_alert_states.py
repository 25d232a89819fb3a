"""Alerts in the database: the states of a rule against a plain model, over many random histories at once."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from fix_service import now

HISTORIES = int(os.environ.get("ALERT_HISTORIES", "400"))
STEPS = 40
STEP = timedelta(seconds=30)
RULES = {  # name: threshold, clear_threshold, for_seconds
    "at-once": (55.0, 50.0, 0),
    "lasting": (45.0, 45.0, 90),
}


@dataclass
class Device:
    """The plain model: what one rule says of one device, evaluation by evaluation."""

    threshold: float
    clear: float
    lasts: timedelta
    state: str | None = None
    since: datetime | None = None
    known_until: datetime | None = None
    transitions: list[tuple[str, datetime]] = field(default_factory=list)

    def see(self, at: datetime, temperature: float | None) -> None:
        if self.state is not None:
            if temperature is not None and temperature < self.clear:
                self.state = self.known_until = None
                self.transitions.append(("cleared", at))
            elif (
                self.known_until is not None
                and self.known_until <= at
                and temperature is not None
                and temperature >= self.threshold
            ):
                self.state, self.known_until = "raised", None
                self.transitions.append(("raised", at))
            return
        if temperature is None or temperature < self.threshold:
            self.since = None
            return
        self.since = self.since or at
        if at - self.since >= self.lasts:
            self.state, self.since = "raised", None
            self.transitions.append(("raised", at))


@pytest.fixture
def hot_rules(connection):
    connection.execute("DELETE FROM public.alert_rule")
    for name, (threshold, clear, seconds) in RULES.items():
        put(connection, name, "hotBattery", threshold, clear, seconds)
    return connection


def put(connection, name, kind, threshold, clear=None, seconds=0, depot=None, enabled=True):
    connection.execute(
        "SELECT engine.put_alert_rule(%s, %s, %s::numeric, %s::numeric, %s, %s, 'warning', %s)",
        [name, kind, threshold, clear, seconds, depot, enabled],
    )


def vehicles(connection, temperatures: dict[str, float | None], at: datetime) -> None:
    """Make hot status say so."""
    connection.execute("DELETE FROM engine.vehicle_state")
    with connection.cursor().copy(
        "COPY engine.vehicle_state (vehicle_id, last_reading_at, soc, kwh_delivered_dc, battery_temp, day, day_kwh, next_day_kwh)"
        " FROM STDIN"
    ) as copy:
        for vehicle, temperature in temperatures.items():
            copy.write_row([vehicle, at, 50, 0, temperature, at.date(), 0, 0])


def evaluate(connection, at: datetime) -> int:
    (transitions,) = connection.execute("SELECT engine.evaluate_alerts(%s)", [at]).fetchone()
    return transitions


def transitions(connection) -> dict[tuple[str, str], list[tuple[str, datetime]]]:
    found: dict[tuple[str, str], list[tuple[str, datetime]]] = {}
    for rule, device, transition, at in connection.execute(
        "SELECT a.rule_name, a.device_id, t.transition, t.at FROM engine.alert_transition AS t JOIN public.alert AS a USING (alert_id)"
        " ORDER BY t.transition_id"
    ):
        found.setdefault((rule, device), []).append((transition, at))
    return found


def test_random_histories_rise_and_clear_as_a_plain_model_does(hot_rules):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    connection, start = hot_rules, now().replace(microsecond=0)
    model = {
        (rule, f"V{number}"): Device(threshold, clear, timedelta(seconds=seconds))
        for rule, (threshold, clear, seconds) in RULES.items()
        for number in range(HISTORIES)
    }
    temperature = {f"V{number}": chance.uniform(30, 60) for number in range(HISTORIES)}
    for step in range(STEPS):
        at = start + step * STEP
        for vehicle in temperature:
            draw = chance.random()
            temperature[vehicle] = (
                None
                if draw < 0.03
                else chance.choice([44.9999, 45, 49.9999, 50, 54.9999, 55])
                if draw < 0.3
                else (temperature[vehicle] or 45) + chance.uniform(-6, 6)
            )
            if temperature[vehicle] is not None:
                temperature[vehicle] = round(min(max(temperature[vehicle], -40), 90), 4)
        vehicles(connection, temperature, at)
        evaluate(connection, at)
        for (_, vehicle), device in model.items():
            device.see(at, temperature[vehicle])
        if step % 7 == 3:  # somebody acknowledges some of what is open, for a while or for ever
            for alert_id, rule, vehicle in connection.execute(
                "SELECT alert_id, rule_name, device_id FROM public.alert WHERE state = 'raised' AND alert_id % 5 = 0"
            ).fetchall():
                until = None if alert_id % 2 else at + chance.randrange(1, 6) * STEP
                connection.execute(
                    "UPDATE public.alert SET state = 'acknowledged', acknowledged_until = %s WHERE alert_id = %s",
                    [until, alert_id],
                )
                model[rule, vehicle].state, model[rule, vehicle].known_until = "acknowledged", until
    assert transitions(connection) == {key: device.transitions for key, device in model.items() if device.transitions}
    states = {
        (rule, vehicle): state
        for rule, vehicle, state in connection.execute(
            "SELECT rule_name, device_id, state FROM public.alert WHERE state <> 'cleared'"
        )
    }
    assert states == {key: device.state for key, device in model.items() if device.state}


def test_a_second_evaluation_within_the_interval_does_nothing(hot_rules):
    at = now()
    vehicles(hot_rules, {"V1": 60}, at)
    assert evaluate(hot_rules, at) == 1
    vehicles(hot_rules, {"V1": 20}, at)
    assert evaluate(hot_rules, at + timedelta(seconds=29)) == 0
    assert evaluate(hot_rules, at + timedelta(seconds=30)) == 1


def test_what_a_rule_no_longer_watches_clears(hot_rules):
    at = now()
    vehicles(hot_rules, {"V1": 60, "V2": 60, "V3": 60}, at)
    evaluate(hot_rules, at)
    connection = hot_rules
    assert open_alerts(connection) == {("at-once", "V1"), ("at-once", "V2"), ("at-once", "V3")}
    vehicles(connection, {"V1": 60, "V2": 60}, at)  # V3's readings were voided: nobody knows it any more
    evaluate(connection, at + STEP)
    assert open_alerts(connection) == {("at-once", "V1"), ("at-once", "V2")}
    put(connection, "at-once", "hotBattery", 55, 50, enabled=False)
    evaluate(connection, at + 2 * STEP)
    assert open_alerts(connection) == set()
    put(connection, "at-once", "hotBattery", 55, 50)
    evaluate(connection, at + 3 * STEP)
    connection.execute("SELECT engine.delete_alert_rule('at-once')")
    assert {key for key in open_alerts(connection) if key[0] == "at-once"} == set()


def open_alerts(connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT rule_name, device_id FROM public.alert WHERE state <> 'cleared'"))


def test_a_depot_that_is_cut_off_is_told_in_one_notice_and_comes_back_in_one(connection):
    connection.execute("DELETE FROM public.alert_rule WHERE name <> 'silent-device'")
    start = now().replace(microsecond=0)
    with connection.cursor().copy(
        "COPY engine.meter_state (meter_id, last_reading_at, kwh_consumed_ac, voltage, day, day_kwh, next_day_kwh) FROM STDIN"
    ) as copy:
        for number in range(2000):  # a reading a minute each, spread over the minute before the cut
            at = start - timedelta(seconds=number * 60 / 2000)
            copy.write_row([f"M{number}", at, 0, 230, start.date(), 0, 0])
    formed = []
    for second in range(560, 800, 5):
        at = start + timedelta(seconds=second)
        connection.execute("SELECT engine.evaluate_alerts(%s), engine.form_alert_notices(%s)", [at, at])
        formed = connection.execute("SELECT title, formed_at FROM engine.alert_notice ORDER BY notice_id").fetchall()
        if formed:
            break
    [(title, told_at)] = formed
    assert title == "2000 alerts of rule silent-device"
    assert told_at <= start + timedelta(seconds=600 + 90)
    back = told_at + timedelta(seconds=10)
    connection.execute("UPDATE engine.meter_state SET last_reading_at = %s", [back])
    for second in range(0, 100, 5):
        at = back + timedelta(seconds=second)
        connection.execute("SELECT engine.evaluate_alerts(%s), engine.form_alert_notices(%s)", [at, at])
    notices = connection.execute("SELECT severity, title FROM engine.alert_notice ORDER BY notice_id").fetchall()
    assert notices == [("warning", title), ("cleared", f"Cleared: {title}")]


def test_notices_of_a_device_keep_their_order(hot_rules):
    connection, at = hot_rules, now()
    for step, temperature in enumerate([60, 20, 60, 20]):
        vehicles(connection, {"V1": temperature, "V2": 80 - temperature}, at + step * STEP)
        evaluate(connection, at + step * STEP)
    for step in range(4, 9):
        connection.execute("SELECT engine.form_alert_notices(%s)", [at + step * STEP])
    told: dict[str, list[str]] = {}
    for device, transition, notice, number in connection.execute(
        "SELECT a.device_id, t.transition, t.notice_id, t.transition_id FROM engine.alert_transition AS t JOIN public.alert AS a USING (alert_id)"
        " ORDER BY t.notice_id, t.transition_id"
    ):
        assert notice is not None, number
        told.setdefault(device, []).append(transition)
    assert told == {"V1": ["raised", "cleared"] * 2, "V2": ["raised", "cleared", "raised"]}


def test_a_wrong_clear_threshold_is_refused(connection):
    for kind, threshold, clear in (("hotBattery", 50, 51), ("lowEfficiency", 0.85, 0.8)):
        with pytest.raises(Exception, match="clearThreshold must be"):
            put(connection, "wrong", kind, threshold, clear)


def test_an_evaluation_of_a_large_fleet_is_quick(connection):
    start = now()
    connection.execute(
        "INSERT INTO engine.meter_state SELECT 'M' || n, now(), 0, 230, current_date, 0, 0 FROM generate_series(1, 10000) AS n"
    )
    connection.execute(
        "INSERT INTO engine.vehicle_state (vehicle_id, last_reading_at, soc, kwh_delivered_dc, battery_temp, day, day_kwh, next_day_kwh)"
        " SELECT 'V' || n, now(), 50, 0, 30, current_date, 0, 0 FROM generate_series(1, 10000) AS n"
    )
    evaluate(connection, start)
    began = now()
    evaluate(connection, start + STEP)
    # 300 ms is the aim on a quiet machine, which make bench measures; this only tells a plan that went wrong.
    assert now() - began < timedelta(seconds=3)
