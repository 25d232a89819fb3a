"""Compares what the engine answers with what is true, to 4 decimals."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import numpy as np

from service.simulate.fleet import vehicle_id
from service.simulate.replay import Placed
from service.simulate.sender import Sender
from service.simulate.truth import FleetTruth, kwh

# The contract lets the fleet's numbers follow within a minute.
_FLEET_PATIENCE_SECONDS = 90.0
_ASKED_VEHICLES = 50
_HALF_A_STEP = 0.00005


def rfc3339(seconds: float) -> str:
    """Write a time (seconds since the epoch) in UTC with a Z, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fleet_path(hours: int, end: int) -> str:
    """Return the path of the fleet's efficiency over the `hours` before `end` (seconds since the epoch)."""
    return "/v1/analytics/fleet/efficiency?" + urlencode({"hours": hours, "end": rfc3339(end)})


def performance_path(vehicle: str, hours: int, end: int) -> str:
    """Return the path of a vehicle's performance over the `hours` before `end` (seconds since the epoch)."""
    query = urlencode({"hours": hours, "end": rfc3339(end)})
    return f"/v1/analytics/performance/{quote(vehicle, safe='')}?{query}"


def differences(what: str, expected: dict[str, Any], status: int, answer: object) -> list[str]:
    """List each field of `expected` that the answer does not hold, as readable lines."""
    if status != 200 or not isinstance(answer, dict):
        return [f"{what}: answered {status}: {answer}"]
    lines = []
    for name, value in expected.items():
        got = answer.get(name)
        numbers = isinstance(value, float) and isinstance(got, (int, float))
        if abs(value - got) >= _HALF_A_STEP if numbers else value != got:
            lines.append(f"{what}: {name} is {got}, true is {value}")
    return lines


def check_fleet(sender: Sender, truth: FleetTruth, start: int, end: int, hours: int, seed: int) -> list[str]:
    """Compare the fleet and some vehicles over [start, end) minutes; return what differs."""
    devices = truth.devices
    asked = np.random.default_rng(seed).permutation(devices)[:_ASKED_VEHICLES].tolist()
    paths = [performance_path(vehicle_id(device), hours, end * 60) for device in asked]
    lines = []
    for device, (status, answer) in zip(asked, sender.get_all(paths), strict=True):
        expected = truth.performance(device, start, end)
        if expected is None:
            lines += [] if status == 404 else [f"{vehicle_id(device)}: answered {status} without any reading"]
        else:
            lines += differences(vehicle_id(device), msgspec.to_builtins(expected), status, answer)
    expected_fleet = msgspec.to_builtins(truth.fleet_efficiency(start, end))
    deadline = time.monotonic() + _FLEET_PATIENCE_SECONDS
    while True:
        [(status, answer)] = sender.get_all([fleet_path(hours, end * 60)])
        fleet_lines = differences("fleet", expected_fleet, status, answer)
        if not fleet_lines or time.monotonic() > deadline:
            return lines + fleet_lines
        time.sleep(2)


def check_replay(sender: Sender, placed: Sequence[Placed]) -> list[str]:
    """Compare every session's energies, and the sum at each station; return what differs."""
    paths = []
    for stay in placed:
        hours = -(-(stay.end - stay.start) // 3600)
        paths.append(performance_path(stay.session.vehicle, hours, stay.end))
    lines = []
    true_units: defaultdict[str, int] = defaultdict(int)
    told_units: defaultdict[str, int] = defaultdict(int)
    for stay, (status, answer) in zip(placed, sender.get_all(paths), strict=True):
        vehicle, station = stay.session.vehicle, stay.session.station
        expected = {
            "totalKwhConsumedAc": kwh(stay.ac_units),
            "totalKwhDeliveredDc": kwh(stay.dc_units),
            "meterId": station,
        }
        lines += differences(vehicle, expected, status, answer)
        true_units[station] += stay.ac_units
        if status == 200:
            told_units[station] += round((answer.get("totalKwhConsumedAc") or 0) * 10_000)
    for station, units in true_units.items():
        if told_units[station] != units:
            lines.append(f"station {station}: AC is {kwh(told_units[station])} kWh, true is {kwh(units)}")
    return lines
