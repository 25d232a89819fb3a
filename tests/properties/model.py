"""The contract in plain Python: what every answer must be, from the readings and mappings alone.

Written from the contract, not from the SQL. Numbers are Decimal, times are aware UTC datetimes; answers have the shape
and the names of the HTTP API's. `SINCE_EVER` and `FOR_EVER` stand for the open ends of a mapping.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

SINCE_EVER = datetime.min.replace(tzinfo=UTC)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
HOUR = timedelta(hours=1)
Answer = dict[str, Any]

_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)


def rounded(value: Decimal | Fraction) -> Decimal:
    """Return a number with 4 decimals, halves away from zero."""
    if isinstance(value, Fraction):
        units = (abs(value.numerator) * 20_000 + value.denominator) // (2 * value.denominator)
        return Decimal(units if value >= 0 else -units).scaleb(-4)
    return value.quantize(Decimal("0.0001"), context=_WIDE)


def hour_of(ts: datetime) -> datetime:
    """Return the start of the hour (UTC)."""
    return ts.replace(minute=0, second=0, microsecond=0)


class MeterReading(NamedTuple):
    """A meter's reading: energy in kWh, voltage in V (None: unknown)."""

    device: str
    ts: datetime
    kwh: Decimal
    voltage: Decimal | None


class VehicleReading(NamedTuple):
    """A vehicle's reading: energy in kWh, state of charge in percent, temperature in °C (None: unknown)."""

    device: str
    ts: datetime
    kwh: Decimal
    soc: Decimal | None
    temp: Decimal | None


Reading = MeterReading | VehicleReading


class Mapping(NamedTuple):
    """A meter's energy goes to a vehicle from start (included) to end (excluded)."""

    meter: str
    vehicle: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Rules:
    """The thresholds, with the contract's defaults; the band of a sound voltage is the project's own."""

    excellent: Decimal = Decimal("0.92")
    warning: Decimal = Decimal("0.85")
    critical: Decimal = Decimal("0.75")
    battery_warning: Decimal = Decimal(45)
    battery_critical: Decimal = Decimal(55)
    voltage_min: Decimal = Decimal(80)
    voltage_max: Decimal = Decimal(520)
    max_plausible_kw: Decimal = Decimal(1000)
    offline_after: timedelta = timedelta(seconds=300)
    timezone: str = "UTC"


@dataclass
class Model:
    """Everything that the engine was told, and every answer it owes for that."""

    rules: Rules = field(default_factory=Rules)
    meters: dict[str, dict[datetime, MeterReading]] = field(default_factory=dict)
    vehicles: dict[str, dict[datetime, VehicleReading]] = field(default_factory=dict)
    mappings: list[Mapping] = field(default_factory=list)
    implausible: set[Reading] = field(default_factory=set)

    # ---- what it is told

    def ingest(self, readings: Iterable[Reading]) -> tuple[int, int]:
        """Take readings in order; the first value of a key stands.

        Return how many were known already, and how many of those have other values than the ones that stand.
        """
        duplicates = conflicts = 0
        new: list[Reading] = []
        for reading in readings:
            history = self._history(reading)
            if reading.ts in history:
                duplicates += 1
                conflicts += history[reading.ts] != stored(reading)
            else:
                history[reading.ts] = stored(reading)
                new.append(history[reading.ts])
        self.implausible |= {reading for reading in new if self._is_implausible(reading)}
        return duplicates, conflicts

    def _is_implausible(self, reading: Reading) -> bool:
        """Return whether the mean power since the reading before (of a first one: over a minute) is too high."""
        before = [ts for ts in self._history(reading) if ts < reading.ts]
        passed = reading.ts - max(before) if before else timedelta(minutes=1)
        seconds = Fraction(max(passed, timedelta(seconds=10)) // timedelta(microseconds=1), 10**6)
        return Fraction(reading.kwh) * 3600 > Fraction(self.rules.max_plausible_kw) * seconds

    def overwrite(self, reading: Reading) -> None:
        """Change or add a reading past the engine."""
        self._history(reading)[reading.ts] = stored(reading)

    def delete(self, reading: Reading) -> None:
        """Delete a reading past the engine."""
        self.implausible.discard(self._history(reading).pop(reading.ts))

    def void(self, kind: type[Reading], device: str, start: datetime, end: datetime) -> list[Reading]:
        """Take the readings of a device over [start, end) out of history and return them, oldest first."""
        devices: dict[str, Any] = self.meters if kind is MeterReading else self.vehicles
        history = devices.get(device, {})
        taken = [history.pop(ts) for ts in sorted(history) if start <= ts < end]
        self.implausible -= set(taken)
        return taken

    def readings(self) -> list[Reading]:
        """Return the whole history by device and time, meters first."""
        histories = [self.meters[name] for name in sorted(self.meters)]
        histories += [self.vehicles[name] for name in sorted(self.vehicles)]
        return [history[ts] for history in histories for ts in sorted(history)]

    def _history(self, reading: Reading) -> dict[datetime, Any]:
        devices: dict[str, Any] = self.meters if isinstance(reading, MeterReading) else self.vehicles
        return devices.setdefault(reading.device, {})

    def map(
        self, meter: str, vehicle: str, start: datetime | None, end: datetime | None, now: datetime
    ) -> Mapping | None:
        """Map a meter to a vehicle and return the mapping as it then stands; None: start is not before end."""
        if start is None:
            start = now if any(m.meter == meter for m in self.mappings) else SINCE_EVER
        end = FOR_EVER if end is None else end
        if start >= end:
            return None
        self._cut(meter, None, start, end)
        joined = Mapping(meter, vehicle, start, end)
        for other in list(self.mappings):
            if other[:2] == joined[:2] and (other.end == start or other.start == end):
                self.mappings.remove(other)
                joined = Mapping(meter, vehicle, min(joined.start, other.start), max(joined.end, other.end))
        self.mappings.append(joined)
        return joined

    def unmap(
        self, meter: str, vehicle: str, start: datetime | None, end: datetime | None, now: datetime
    ) -> bool | None:
        """End a mapping and return whether there was one; None: a period that ends before it starts is refused."""
        start, end = now if start is None else start, FOR_EVER if end is None else end
        return None if start >= end else self._cut(meter, vehicle, start, end)

    def _cut(self, meter: str, vehicle: str | None, start: datetime, end: datetime) -> bool:
        hit = [
            m
            for m in self.mappings
            if m.meter == meter and vehicle in (None, m.vehicle) and m.start < end and m.end > start
        ]
        for old in hit:
            self.mappings.remove(old)
            if old.start < start:
                self.mappings.append(old._replace(end=start))
            if old.end > end:
                self.mappings.append(old._replace(start=end))
        return bool(hit)

    # ---- mappings

    def mapping_list(
        self, meter: str | None = None, vehicle: str | None = None, at: datetime | None = None
    ) -> list[Answer]:
        """Answer GET /v1/telemetry/mappings."""
        return [
            mapping_answer(m)
            for m in sorted(self.mappings, key=lambda m: (m.meter, m.start))
            if meter in (None, m.meter) and vehicle in (None, m.vehicle) and (at is None or m.start <= at < m.end)
        ]

    # ---- analytics

    def performance(self, vehicle: str, hours: int, end: datetime, meter: str | None = None) -> Answer | None:
        """Answer the performance of a vehicle; None: 404."""
        start = end - timedelta(hours=hours)
        own = within(self.vehicles.get(vehicle, {}).values(), start, end)
        if not own:
            return None
        mapped = self._mapped(vehicle, start, end, meter)
        attributed = [r for m in mapped for r in within(self.meters.get(m.meter, {}).values(), m.start, m.end)]
        ac = sum((r.kwh for r in attributed), Decimal(0)) if attributed else None
        dc = sum((r.kwh for r in own), Decimal(0))
        ratio = _ratio(ac, dc)
        minutes = sum(
            (Fraction((m.end - m.start) // timedelta(microseconds=1), 60_000_000) for m in mapped), Fraction(0)
        )
        # The mapping that reaches latest in the period; then the latest start in it; then the first id.
        serving = min(mapped, key=lambda m: (FOR_EVER - m.end, FOR_EVER - m.start, m.meter), default=None)
        return {
            "vehicleId": vehicle,
            "periodStart": start,
            "periodEnd": end,
            "totalKwhConsumedAc": ac,
            "totalKwhDeliveredDc": dc,
            "efficiencyRatio": ratio,
            "efficiencyStatus": self.efficiency_status(ratio),
            "avgBatteryTemp": _mean([r.temp for r in own]),
            "maxBatteryTemp": max(_known([r.temp for r in own]), default=None),
            "minBatteryTemp": min(_known([r.temp for r in own]), default=None),
            "readingsCount": len(own),
            "meterId": serving and serving.meter,
            "coverage": {
                "meter": rounded(min(Fraction(1), _heard(attributed, start, end, mapped) / minutes))
                if mapped
                else None,
                "vehicle": rounded(_heard(own, start, end) / (60 * hours)),
            },
        }

    def trend(self, vehicle: str, hours: int, end: datetime) -> list[Answer]:
        """Answer the trend of a vehicle: hours that have a reading of it or of a meter mapped to it."""
        start = end - timedelta(hours=hours)
        own: dict[datetime, list[VehicleReading]] = {}
        for reading in within(self.vehicles.get(vehicle, {}).values(), start, end):
            own.setdefault(hour_of(reading.ts), []).append(reading)
        grid: dict[datetime, list[MeterReading]] = {}
        for mapping in self._mapped(vehicle, start, end, None):
            for drawn in within(self.meters.get(mapping.meter, {}).values(), mapping.start, mapping.end):
                grid.setdefault(hour_of(drawn.ts), []).append(drawn)
        answer = []
        for hour in sorted(own.keys() | grid.keys()):
            ac = sum((r.kwh for r in grid[hour]), Decimal(0)) if hour in grid else None
            dc = sum((r.kwh for r in own[hour]), Decimal(0)) if hour in own else None
            answer.append(
                {
                    "hour": hour,
                    "kwhConsumedAc": ac,
                    "kwhDeliveredDc": dc,
                    "efficiencyRatio": _ratio(ac, dc),
                    "avgBatteryTemp": _mean([r.temp for r in own[hour]]) if hour in own else None,
                }
            )
        return answer

    def fleet_efficiency(self, hours: int, end: datetime) -> Answer:
        """Answer the efficiency of the fleet."""
        start = end - timedelta(hours=hours)
        vehicles = []
        for vehicle, history in self.vehicles.items():
            if own := within(history.values(), start, end):
                dc = sum((r.kwh for r in own), Decimal(0))
                attributed = [
                    r.kwh
                    for m in self._mapped(vehicle, start, end, None)
                    for r in within(self.meters.get(m.meter, {}).values(), m.start, m.end)
                ]
                vehicles.append((sum(attributed, Decimal(0)), dc))
        both = [(ac, dc) for ac, dc in vehicles if ac > 0]
        states = [self.efficiency_status(_ratio(ac, dc)) for ac, dc in both]
        ac_of_both, dc_of_both = (sum((pair[n] for pair in both), Decimal(0)) for n in (0, 1))
        return {
            "totalVehicles": len(vehicles),
            "avgEfficiencyRatio": _ratio(ac_of_both, dc_of_both),
            "vehiclesWithWarnings": states.count("warning"),
            "vehiclesCritical": states.count("critical"),
            "totalKwhConsumedAc": sum(
                (r.kwh for history in self.meters.values() for r in within(history.values(), start, end)), Decimal(0)
            ),
            "totalKwhDeliveredDc": sum((dc for _, dc in vehicles), Decimal(0)),
            "totalEnergyLoss": ac_of_both - dc_of_both,
            "periodStart": start,
            "periodEnd": end,
        }

    def efficiency_status(self, ratio: Decimal | None) -> str:
        """Return the name of a ratio that is rounded to 4 decimals."""
        if ratio is None or ratio > 1:
            return "unknown"
        steps = [("excellent", self.rules.excellent), ("good", self.rules.warning), ("warning", self.rules.critical)]
        return next((name for name, least in steps if ratio >= least), "critical")

    def implausible_kwh(self, vehicle: str | None, hours: int, end: datetime, meter: str | None = None) -> Decimal:
        """Return the energy of the implausible readings that an answer is made of: a vehicle's, or the fleet's."""
        start = end - timedelta(hours=hours)
        found = within(self.implausible, start, end)
        if vehicle is not None:
            mapped = self._mapped(vehicle, start, end, meter)
            found = [
                r
                for r in found
                if (isinstance(r, VehicleReading) and r.device == vehicle)
                or (
                    isinstance(r, MeterReading) and any(m.meter == r.device and m.start <= r.ts < m.end for m in mapped)
                )
            ]
        return sum((r.kwh for r in found), Decimal(0))

    def expects_warning(self, ratio: Decimal | None) -> bool | None:
        """Return whether a ratio is worth a warning; None: the contract does not say (more energy out than in)."""
        if ratio is None:
            return False
        return None if ratio > 1 else ratio < self.rules.warning

    def _mapped(self, vehicle: str, start: datetime, end: datetime, meter: str | None) -> list[Mapping]:
        """Return the mappings of a vehicle, cut to [start, end)."""
        return [
            m._replace(start=max(m.start, start), end=min(m.end, end))
            for m in self.mappings
            if m.vehicle == vehicle and meter in (None, m.meter) and m.start < end and m.end > start
        ]

    # ---- rollups

    def rollup(self, stream: str, width: timedelta) -> dict[tuple[str, datetime], Answer]:
        """Return what a rollup of a stream holds, by device and bucket of that width from midnight on (UTC)."""
        groups: dict[tuple[str, datetime], list[Any]] = {}
        histories: dict[str, Any] = self.meters if stream == "meter" else self.vehicles
        for device, history in histories.items():
            for reading in history.values():
                midnight = hour_of(reading.ts).replace(hour=0)
                bucket = midnight + (reading.ts - midnight) // width * width
                groups.setdefault((device, bucket), []).append(reading)
        return {key: _bucket(stream, group) for key, group in groups.items()}

    # ---- status

    def meter_status(self, meter: str, now: datetime) -> Answer | None:
        """Answer the state of a meter; None: 404."""
        history = self.meters.get(meter)
        if not history:
            return None
        last = history[max(history)]
        if now - last.ts > self.rules.offline_after:
            status = "offline"
        elif (
            last.voltage is not None
            and not max(self.rules.voltage_min, Decimal("0.0001")) <= last.voltage <= self.rules.voltage_max
        ):
            status = "error"
        else:
            status = "online"
        return {
            "meterId": meter,
            "kwhConsumedAc": last.kwh,
            "voltage": last.voltage,
            "lastReadingAt": last.ts,
            "dailyKwhConsumedAc": self._daily(history.values(), now),
            "vehicleId": next((m.vehicle for m in self.mappings if m.meter == meter and m.start <= now < m.end), None),
            "status": status,
        }

    def vehicle_status(self, vehicle: str, now: datetime) -> Answer | None:
        """Answer the state of a vehicle; None: 404."""
        history = self.vehicles.get(vehicle)
        if not history:
            return None
        times = sorted(history)
        last = history[times[-1]]
        previous = history[times[-2]] if len(times) > 1 else None
        if now - last.ts > self.rules.offline_after:
            state = "offline"
        elif last.kwh > 0:
            state = "charging"
        elif previous is not None and None not in (last.soc, previous.soc) and last.soc < previous.soc:
            state = "discharging"
        else:
            state = "idle"
        serving = [m for m in self.mappings if m.vehicle == vehicle and m.start <= now < m.end]
        return {
            "vehicleId": vehicle,
            "soc": last.soc,
            "kwhDeliveredDc": last.kwh,
            "batteryTemp": last.temp,
            "lastReadingAt": last.ts,
            "dailyKwhDeliveredDc": self._daily(history.values(), now),
            "meterId": min(serving, key=lambda m: (FOR_EVER - m.start, m.meter)).meter if serving else None,
            "chargingState": state,
            "batteryTempWarning": last.temp is not None and last.temp >= self.rules.battery_warning,
            "batteryTempCritical": last.temp is not None and last.temp >= self.rules.battery_critical,
        }

    def all_meters(self, now: datetime) -> list[Answer]:
        """Return the state of every meter that ever reported, by id."""
        return [answer for meter in sorted(self.meters) if (answer := self.meter_status(meter, now))]

    def all_vehicles(self, now: datetime) -> list[Answer]:
        """Return the state of every vehicle that ever reported, by id."""
        return [answer for vehicle in sorted(self.vehicles) if (answer := self.vehicle_status(vehicle, now))]

    def charging(self, now: datetime) -> list[Answer]:
        """Return the vehicles that charge, lowest soc first."""
        found = [v for v in self.all_vehicles(now) if v["chargingState"] == "charging"]
        return sorted(found, key=lambda v: (v["soc"] is None, v["soc"] or 0, v["vehicleId"]))

    def warnings(self, now: datetime) -> list[Answer]:
        """Return the vehicles with a hot battery, hottest first."""
        found = [v for v in self.all_vehicles(now) if v["batteryTempWarning"]]
        return sorted(found, key=lambda v: (-v["batteryTemp"], v["vehicleId"]))

    def online(self, now: datetime) -> list[Answer]:
        """Return the meters that are online, by id."""
        return [m for m in self.all_meters(now) if m["status"] == "online"]

    def overview(self, now: datetime) -> Answer:
        """Answer the fleet at a glance."""
        meters, vehicles = self.all_meters(now), self.all_vehicles(now)
        meter_states = [m["status"] for m in meters]
        states = [v["chargingState"] for v in vehicles]
        return {
            "totalMeters": len(meters),
            "onlineMeters": meter_states.count("online"),
            "offlineMeters": meter_states.count("offline"),
            "totalVehicles": len(vehicles),
            "chargingVehicles": states.count("charging"),
            "idleVehicles": states.count("idle"),
            "dischargingVehicles": states.count("discharging"),
            "offlineVehicles": states.count("offline"),
            "vehiclesWithWarnings": sum(v["batteryTempWarning"] for v in vehicles),
            "totalDailyKwhConsumed": sum((m["dailyKwhConsumedAc"] for m in meters), Decimal(0)),
            "totalDailyKwhDelivered": sum((v["dailyKwhDeliveredDc"] for v in vehicles), Decimal(0)),
        }

    def _daily(self, readings: Iterable[Reading], now: datetime) -> Decimal:
        zone = ZoneInfo(self.rules.timezone)
        today = now.astimezone(zone).date()
        return sum((r.kwh for r in readings if r.ts.astimezone(zone).date() == today), Decimal(0))


def stored(reading: Any) -> Any:
    """Return a reading as history keeps it: every measure with 4 decimals."""
    return type(reading)(
        reading.device, reading.ts, *(value if value is None else rounded(value) for value in reading[2:])
    )


def within(readings: Iterable[Any], start: datetime, end: datetime) -> list[Any]:
    """Return the readings with start <= ts < end."""
    return [r for r in readings if start <= r.ts < end]


def mapping_answer(mapping: Mapping) -> Answer:
    """Return a mapping as the API shows it: open ends are null."""
    return {
        "meterId": mapping.meter,
        "vehicleId": mapping.vehicle,
        "from": None if mapping.start == SINCE_EVER else mapping.start,
        "to": None if mapping.end == FOR_EVER else mapping.end,
    }


def _ratio(ac: Decimal | None, dc: Decimal | None) -> Decimal | None:
    if ac is None or dc is None or ac == 0:
        return None
    return rounded(Fraction(dc) / Fraction(ac))


def _heard(readings: list[Any], start: datetime, end: datetime, mapped: list[Mapping] | None = None) -> Fraction:
    """Return how many minutes have a reading, counted by the hour: at most as many as lie within."""
    counts: dict[datetime, int] = {}
    for reading in readings:
        counts[hour_of(reading.ts)] = counts.get(hour_of(reading.ts), 0) + 1
    spans = [(start, end)] if mapped is None else [(m.start, m.end) for m in mapped]
    heard = Fraction(0)
    for hour, count in counts.items():
        inside = sum(
            (max(timedelta(0), min(hour + timedelta(hours=1), until) - max(hour, since)) for since, until in spans),
            timedelta(0),
        )
        heard += min(Fraction(count), Fraction(inside // timedelta(microseconds=1), 60_000_000))
    return heard


def _known(values: list[Decimal | None]) -> list[Decimal]:
    return [value for value in values if value is not None]


def _mean(values: list[Decimal | None]) -> Decimal | None:
    known = _known(values)
    return rounded(Fraction(sum(known, Decimal(0))) / len(known)) if known else None


def _bucket(stream: str, group: list[Any]) -> Answer:
    kwh = sum((r.kwh for r in group), Decimal(0))
    if stream == "meter":
        measures, energy = {"voltage": [r.voltage for r in group]}, "total_kwh_consumed_ac"
    else:
        measures = {"soc": [r.soc for r in group], "battery_temp": [r.temp for r in group]}
        energy = "total_kwh_delivered_dc"
    answer: Answer = {"readings_count": len(group), energy: kwh}
    for name, values in measures.items():
        known = _known(values)
        answer |= {f"min_{name}": min(known, default=None), f"max_{name}": max(known, default=None)}
        answer |= {f"sum_{name}": sum(known, Decimal(0)) if known else None, f"count_{name}": len(known)}
        answer[f"avg_{name}"] = _mean(values)
    return answer
