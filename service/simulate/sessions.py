"""Real charging sessions, read from the CSV files of ACN-Data (JPL) and of EPFL.

Both are read by the names of their columns, in any order of columns and rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

from service.errors import EngineError
from service.simulate.fleet import UNITS_PER_KWH

_ACN_COLUMNS = frozenset({"arrival", "departure", "delivered energy kwh", "station id", "session id"})
_EPFL_COLUMNS = frozenset(
    {
        "session",
        "ccs",
        "arrival",
        "departure",
        "stay min",
        "energy wh",
        "pmax w",
        "soc arrival",
        "soc departure",
    }
)
_ID_LIMIT = 64


class SessionFileError(EngineError):
    """A session file is of no known kind, or a row of it cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is true of all sessions in one kind of file, and what the replay has to assume about them."""

    name: str
    zone: ZoneInfo
    measures_dc: bool
    """True: the file's energy reached the battery (DC); False: it left the station (AC)."""
    efficiency_percent: int
    """Assumed DC / AC; no file holds both sides."""
    volts: float


JPL = Source(
    name="ACN-Data JPL",
    zone=ZoneInfo("America/Los_Angeles"),
    measures_dc=False,
    efficiency_percent=90,
    volts=208.0,
)
EPFL = Source(
    name="EPFL DESL level 3",
    zone=ZoneInfo("Europe/Zurich"),
    measures_dc=True,
    efficiency_percent=93,
    volts=400.0,
)

# ACN-Data knows no batteries: assume the largest common one, leaving at 90 %.
_JPL_BATTERY_KWH = 75
_JPL_SOC_END = 90.0
_JPL_POWER_KW = 6.6


@dataclass(frozen=True, kw_only=True)
class Session:
    """One stay of one vehicle at one station; `energy_units` (1e-4 kWh) is the file's energy."""

    vehicle: str
    station: str
    arrival: datetime
    departure: datetime
    energy_units: int
    power_kw: float
    soc_start: float
    soc_end: float
    source: Source

    @property
    def local_day(self) -> date:
        """The day on which the vehicle arrived, on the clock of the place."""
        return self.arrival.astimezone(self.source.zone).date()

    def shifted(self, days: int) -> Session:
        """Return the session `days` later at the same local time of day, staying as long as it did."""
        local = self.arrival.astimezone(self.source.zone).replace(tzinfo=None) + timedelta(days=days)
        arrival = local.replace(tzinfo=self.source.zone).astimezone(UTC)
        return replace(self, arrival=arrival, departure=arrival + (self.departure - self.arrival))


def read_sessions(path: Path) -> list[Session]:
    """Read every session of a file, by time of arrival; raise SessionFileError naming the line at fault."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [_plain(name) for name in reader.fieldnames or []]
            columns = frozenset(reader.fieldnames)
            if columns >= _ACN_COLUMNS:
                parse = _parse_jpl
            elif columns >= _EPFL_COLUMNS:
                parse = _parse_epfl
            else:
                raise SessionFileError(f"{path} has the columns of neither ACN-Data nor EPFL: {sorted(columns)}")
            sessions = []
            for row in reader:
                try:
                    sessions.append(parse(row))
                except (ValueError, InvalidOperation, TypeError, AttributeError) as error:
                    raise SessionFileError(f"{path}, line {reader.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SessionFileError(f"{path} cannot be read: {error}") from None
    sessions.sort(key=lambda session: (session.arrival, session.departure, session.vehicle))
    return _with_unique_vehicles(sessions)


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", " ", column).strip().lower()


def _parse_jpl(row: Mapping[str, str]) -> Session:
    energy_units = _units(row["delivered energy kwh"], UNITS_PER_KWH)
    gained = energy_units * JPL.efficiency_percent / UNITS_PER_KWH / _JPL_BATTERY_KWH
    return Session(
        vehicle=_device_id(row["session id"]),
        station=_device_id(row["station id"]),
        arrival=_instant(row["arrival"], JPL.zone),
        departure=_instant(row["departure"], JPL.zone),
        energy_units=energy_units,
        power_kw=_JPL_POWER_KW,
        soc_start=max(_JPL_SOC_END - gained, 1.0),
        soc_end=_JPL_SOC_END,
        source=JPL,
    )


def _parse_epfl(row: Mapping[str, str]) -> Session:
    arrival, departure = _local_stay(row["arrival"], row["departure"], float(row["stay min"]), EPFL.zone)
    soc_start, soc_end = float(row["soc arrival"]), float(row["soc departure"])
    if not 0 <= soc_start <= 100 or not 0 <= soc_end <= 100:
        raise ValueError(f"soc must be within 0..100, not {soc_start:g} and {soc_end:g}")
    return Session(
        vehicle=_device_id(f"EPFL-{row['session'].strip()}"),
        station=_device_id(f"EPFL-{row['ccs'].strip()}"),
        arrival=arrival,
        departure=departure,
        energy_units=_units(row["energy wh"], UNITS_PER_KWH // 1000),
        power_kw=float(row["pmax w"]) / 1000,
        soc_start=soc_start,
        soc_end=max(soc_start, soc_end),
        source=EPFL,
    )


def _units(text: str, units_per_step: int) -> int:
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise ValueError(f"energy must be a number from 0, not {text!r}")
    return int((value * units_per_step).quantize(Decimal(1), ROUND_HALF_UP))


def _device_id(text: str) -> str:
    name = "".join("-" if char == "/" or not char.isprintable() else char for char in text.strip())
    if not 0 < len(name) <= _ID_LIMIT:
        raise ValueError(f"an id must have 1 to {_ID_LIMIT} characters, not {text!r}")
    return name


def _instant(text: str, zone: ZoneInfo, fold: int = 0) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone, fold=fold)
    return moment.astimezone(UTC).replace(microsecond=0)


def _local_stay(
    arrival_text: str, departure_text: str, stay_minutes: float, zone: ZoneInfo
) -> tuple[datetime, datetime]:
    """Read a stay given in local time without offset.

    In the hour that autumn repeats, a local time means two instants: the pair that fits the stated stay best
    is meant. EPFL's stay counts the minute of departure too.
    """
    pairs = [
        (_instant(arrival_text, zone, arrival_fold), _instant(departure_text, zone, departure_fold))
        for arrival_fold, departure_fold in product((0, 1), repeat=2)
    ]

    def misfit(pair: tuple[datetime, datetime]) -> tuple[bool, float]:
        minutes = (pair[1] - pair[0]).total_seconds() / 60
        return minutes < 0, abs(minutes + 1 - stay_minutes)

    return min(pairs, key=misfit)


def _with_unique_vehicles(sessions: list[Session]) -> list[Session]:
    """Give a session whose id was used before a name of its own: a vehicle is at one place at a time."""
    seen: dict[str, int] = {}
    unique = []
    for session in sessions:
        count = seen[session.vehicle] = seen.get(session.vehicle, 0) + 1
        if count > 1:
            ending = f"-{count}"
            session = replace(session, vehicle=session.vehicle[: _ID_LIMIT - len(ending)] + ending)
        unique.append(session)
    return unique
