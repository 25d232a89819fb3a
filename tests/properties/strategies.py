"""What the properties draw: few devices, so that they meet, and times close to every edge that matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine import utc_now
from hypothesis import strategies as st
from model import MeterReading, Reading, VehicleReading, hour_of

METERS = ["M1", "M2", "M3"]
VEHICLES = ["V1", "V2", "V3"]
ZONES = ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
_US = timedelta(microseconds=1)
_NEWEST = timedelta(seconds=240)
_BACK_HOURS = 50


@dataclass(frozen=True)
class Moment:
    """A time that is not yet tied to a now: so many microseconds from the edge of an hour, a day, or from now."""

    edge: str
    back: int
    microseconds: int

    def at(self, now: datetime) -> datetime:
        """Return the time, seen from `now`."""
        if self.edge == "now":
            base = now
        elif self.edge == "hour":
            base = hour_of(now) - timedelta(hours=self.back)
        else:
            local = now.astimezone(ZoneInfo(self.edge)).replace(hour=0, minute=0, second=0, microsecond=0)
            base = (local - timedelta(days=self.back)).astimezone(now.tzinfo)
        return base + timedelta(microseconds=self.microseconds)


_near = st.sampled_from([0, -1, 1, 30 * 60 * 10**6, 59_999_999, 10 * 60 * 10**6])
_inside = st.integers(0, 3600 * 10**6 - 1)
_hours_back = st.one_of(st.integers(0, 3), st.integers(0, _BACK_HOURS - 1))


def moments(ahead_hours: int = 0) -> st.SearchStrategy[Moment]:
    """Draw times of the last 50 hours, or so many hours ahead; most lie at an edge."""
    hours = _hours_back if not ahead_hours else st.integers(-ahead_hours, _BACK_HOURS)
    return st.one_of(
        st.builds(Moment, st.just("hour"), hours, _near | _inside),
        st.builds(Moment, st.sampled_from(ZONES), st.integers(-1 if ahead_hours else 0, 1), _near),
    )


# Far from the limits of the clock skew and of the silence after which a device is offline.
_recent = st.builds(Moment, st.just("now"), st.just(0), st.integers(-200, 239).map(lambda s: s * 10**6 + 7))


def resolve(moment: Moment) -> datetime:
    """Return the time of a reading: never refused, and clearly online or clearly offline for the next minute."""
    now = utc_now()
    ts = moment.at(now)
    if ts > now + _NEWEST:
        ts -= timedelta(days=1)
    if now - timedelta(seconds=420) < ts < now - timedelta(seconds=230):
        ts -= timedelta(seconds=300)
    return ts


_millionths = st.integers(0, 5 * 10**6)
_ties = st.integers(0, 2 * 10**4).map(lambda n: n * 100 + 50)
_big = st.integers(0, 3).map(lambda n: 99_999_999_999_900 - n * 50)
energies = st.one_of(st.just(0), _millionths, _ties, _big).map(lambda n: Decimal(n).scaleb(-6))
_unknown = st.none()
_voltages = st.one_of(
    st.sampled_from(["0", "79.9999", "80", "230", "520", "520.0001", "1000"]).map(Decimal),
    st.integers(0, 10**7).map(lambda n: Decimal(n).scaleb(-4)),
)
_socs = st.one_of(
    st.sampled_from([Decimal(0), Decimal(100)]), st.integers(0, 10**4).map(lambda n: Decimal(n).scaleb(-2))
)
_temps = st.one_of(
    st.sampled_from(["-60", "44.9999", "45", "54.9999", "55", "150", "-0.0001", "0"]).map(Decimal),
    st.integers(-6 * 10**5, 15 * 10**5).map(lambda n: Decimal(n).scaleb(-4)),
)


@dataclass(frozen=True)
class Draft:
    """A reading before its time is known."""

    device: str
    moment: Moment
    measures: tuple[Decimal | None, ...]

    def reading(self) -> Reading:
        """Return the reading, with its time seen from now."""
        kind = MeterReading if len(self.measures) == 2 else VehicleReading
        return kind(self.device, resolve(self.moment), *self.measures)


_meter_measures = st.tuples(energies, st.one_of(_voltages, _unknown))
_vehicle_measures = st.tuples(energies, st.one_of(_socs, _socs, _unknown), st.one_of(_temps, _temps, _unknown))
_reading_times = st.one_of(moments(), moments(), _recent)
drafts = st.one_of(
    st.builds(Draft, st.sampled_from(METERS), _reading_times, _meter_measures),
    st.builds(Draft, st.sampled_from(VEHICLES), _reading_times, _vehicle_measures),
)
batches = st.lists(drafts, min_size=1, max_size=12)


def measures_of(reading: Reading) -> st.SearchStrategy[tuple[Decimal, ...]]:
    """Draw other values for a reading."""
    return _meter_measures if isinstance(reading, MeterReading) else _vehicle_measures


hours = st.one_of(st.sampled_from([1, 2, 24, 25, 48, 8760]), st.integers(1, 60))
