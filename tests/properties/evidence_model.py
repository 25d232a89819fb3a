"""A plain model of evidence: what hours say of a vehicle's ratio, from its readings and those of its meters."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model import Model

HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
NINE_TENTHS = Fraction(9, 10)


def _minutes(part: timedelta) -> Fraction:
    return Fraction(part // timedelta(microseconds=1), 60_000_000)


def _sum(readings: list[Any]) -> Decimal:
    return sum((r.kwh for r in readings), Decimal(0))


def evidence(model: Model, vehicle: str, start: datetime, end: datetime, meter: str | None) -> dict[str, Any]:
    """Return the verdict and its reasons for [start, end); energies are None where nothing was received."""
    own = [r for r in model.vehicles.get(vehicle, {}).values() if start <= r.ts < end]
    mapped = [
        m
        for m in model.mappings
        if m.vehicle == vehicle and meter in (None, m.meter) and m.start < end and m.end > start
    ]
    found: dict[str, list[tuple[datetime, Decimal]]] = {}
    ac: Decimal | None = None
    dc: Decimal | None = None
    paired_ac, paired_dc, has_pair = Decimal(0), Decimal(0), False
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        since, until = max(hour, start), min(hour + HOUR, end)
        mine = sorted((r for r in own if since <= r.ts < until), key=lambda r: r.ts)
        theirs = []  # of each mapping with a reading: its readings and the minutes that it holds
        for m in mapped:
            held = max(since, m.start), min(until, m.end)
            readings = [r for r in model.meters.get(m.meter, {}).values() if held[0] <= r.ts < held[1]]
            if readings:
                theirs.append((readings, _minutes(held[1] - held[0])))
        if mine or theirs:
            expected, minutes = _minutes(until - since), sum((t[1] for t in theirs), Fraction(0))
            counted = sum(len(t[0]) for t in theirs)
            kwh_ac = sum((_sum(t[0]) for t in theirs), Decimal(0)) if theirs else None
            kwh_dc = _sum(mine) if mine else None
            ac = ac if kwh_ac is None else (ac or Decimal(0)) + kwh_ac
            dc = dc if kwh_dc is None else (dc or Decimal(0)) + kwh_dc
            meter_covers = bool(theirs) and all(len(r) >= NINE_TENTHS * m for r, m in theirs) and minutes >= expected
            covers = len(mine) >= NINE_TENTHS * expected
            elsewhere = meter_covers and bool(kwh_dc) and kwh_ac == 0
            socs = [r.soc for r in mine if r.soc is not None]
            stuck = bool(kwh_ac) and kwh_dc == 0 and len(socs) > 0 and socs[-1] - socs[0] >= 2
            if meter_covers and covers and not elsewhere and not stuck:
                paired_ac, paired_dc, has_pair = paired_ac + (kwh_ac or 0), paired_dc + (kwh_dc or 0), True
            for name, holds, kwh in (
                ("vehicleSilent", bool(kwh_ac) and not covers, kwh_ac),
                ("meterSilent", bool(kwh_dc) and not meter_covers, kwh_dc),
                ("standbyDraw", meter_covers and covers and bool(kwh_ac) and kwh_dc == 0 and not stuck, kwh_ac),
                ("chargedElsewhere", elsewhere, kwh_dc),
                (
                    "tooManyReadings",
                    counted > math.ceil(minutes) * 1.05 + 1 or len(mine) > math.ceil(expected) * 1.05 + 1,
                    (kwh_ac or Decimal(0)) + (kwh_dc or Decimal(0)),
                ),
                ("energyStuck", stuck, kwh_ac),
            ):
                if holds:
                    found.setdefault(name, []).append((hour, kwh or Decimal(0)))
        hour += HOUR
    if "standbyDraw" in found and not sum(kwh for _, kwh in found["standbyDraw"]) > Decimal("0.05") * (ac or 0):
        del found["standbyDraw"]
    reasons = [
        _reason(
            name, sum((kwh for _, kwh in hours), Decimal(0)), max(hours[0][0], start), min(hours[-1][0] + HOUR, end)
        )
        for name, hours in found.items()
    ]
    if ac is not None and dc is not None and dc > ac:
        reasons.append(_reason("ratioAboveOne", dc - ac, start, end))
    reasons += [_reason("cutSession", None, at, at) for at in (start, end) if _cuts(model, vehicle, at)]
    served = [
        m
        for m in mapped
        if len({o.vehicle for o in model.mappings if o.meter == m.meter and o.start < end and o.end > start}) > 1
    ]
    drawn = [
        r
        for m in served
        for r in model.meters.get(m.meter, {}).values()
        if max(m.start, start) <= r.ts < min(m.end, end)
    ]
    if drawn:
        reasons.append(_reason("sharedMeter", _sum(drawn), start, end))
    ratio = None if not paired_ac or not has_pair else Fraction(paired_dc) / Fraction(paired_ac)
    return {
        "ac": ac,
        "dc": dc,
        "paired_ratio": ratio,
        "paired_share": Fraction(paired_ac) / Fraction(ac) if ac else None,
        "verdict": _verdict(ac, dc, reasons),
        "reasons": reasons,
    }


def _verdict(ac: Decimal | None, dc: Decimal | None, reasons: list[dict[str, Any]]) -> str:
    if ac and dc is not None and dc > ac:
        return "implausible"
    if not ac:
        return "unmetered" if dc else "idle"
    return "partial" if reasons else "sound"


def _reason(name: str, kwh: Decimal | None, start: datetime, end: datetime) -> dict[str, Any]:
    return {"reason": name, "kwh": kwh, "from": start, "to": end}


def _cuts(model: Model, vehicle: str, at: datetime) -> bool:
    times = [r.ts for r in model.vehicles.get(vehicle, {}).values() if r.kwh > 0]
    before = [ts for ts in times if at - QUARTER <= ts < at]
    after = [ts for ts in times if at <= ts < at + QUARTER]
    return bool(before and after) and min(after) - max(before) <= QUARTER
