"""The readings that devices send: their fields and limits, and how the service parses them.

`json` parses a batch that holds an invalid reading, and msgspec converts each reading by itself. `list[msgspec.Raw]`
would be shorter, but msgspec then refuses the whole batch for a NaN or a number beyond floats in one of its readings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from service.errors import InvalidRequestError, TooLargeError
from service.http.ids import ID_FIELDS, ID_MEANING, ID_PATTERN, MAX_ID_CHARACTERS, is_plain_id, shown_id, to_id
from service.http.json_text import loads
from service.http.validation import describe_validation_error, in_utc

MAX_BATCH_READINGS = 50_000

# The id in a reading. Its pattern is checked after decoding, as msgspec needs more time for it than for all the rest.
_UncheckedId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        extra_json_schema={"pattern": ID_PATTERN},
        description=ID_MEANING,
    ),
]
EnergyKwh = Annotated[float, Meta(ge=0, lt=99_999_999.99995)]
Soc = Annotated[
    Annotated[float, Meta(ge=0, le=100)] | None,
    Meta(description="State of charge in percent; null when the vehicle does not know it"),
]
Voltage = Annotated[
    Annotated[float, Meta(ge=0, le=1000)] | None,
    Meta(description="Grid voltage in V; null when the meter does not know it"),
]
Celsius = Annotated[
    Annotated[float, Meta(ge=-60, le=150)] | None,
    Meta(description="Battery temperature in °C; null when the vehicle does not know it"),
]
Timestamp = Annotated[
    datetime,
    Meta(tz=True, description="RFC 3339 time of the reading, with an offset; ids a reading with its device"),
]


class MeterReading(Struct, tag="meter", tag_field="type", rename="camel", frozen=True, gc=False):
    """A smart meter's heartbeat: AC energy drawn in its interval."""

    meter_id: _UncheckedId
    kwh_consumed_ac: Annotated[EnergyKwh, Meta(description="AC energy drawn from the grid, in kWh")]
    voltage: Voltage
    timestamp: Timestamp


class VehicleReading(Struct, tag="vehicle", tag_field="type", rename="camel", frozen=True, gc=False):
    """A vehicle's heartbeat: DC energy that reached the battery in its interval."""

    vehicle_id: _UncheckedId
    soc: Soc
    kwh_delivered_dc: Annotated[EnergyKwh, Meta(description="DC energy that reached the battery, in kWh")]
    battery_temp: Celsius
    timestamp: Timestamp


Reading = MeterReading | VehicleReading


class Batch(Struct, frozen=True):
    """Many readings in one request."""

    readings: Annotated[list[Reading], Meta(description="1 to 50,000 readings")]


class StagedReading(NamedTuple):
    """A reading as the database stages it: in ten-thousandths of kWh, of percent (None for meters), of V or °C.

    What the device does not know is None.
    """

    is_vehicle: bool
    device_id: str
    ts: datetime
    energy: int
    soc: int | None
    voltage_or_temp: int | None


class Refused(NamedTuple):
    """A reading that the service does not store: its place in the request, its label, the field and the reason."""

    place: int
    label: str
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"readings[{self.place}] {self.label}: {self.reason}"


ID_FIELD = ID_FIELDS  # by StagedReading.is_vehicle

# msgspec rounds a fraction of a second to microseconds, and would take a reading to the next second, hour or day. This
# finds a fraction that is longer, cheaply, and the other cuts it where a reading has its time.
_has_long_fraction = re.compile(rb"\.\d{7,}[Zz+-]").search
_cut_fractions = re.compile(rb'("timestamp"\s*:\s*"[^"\\]{19}\.\d{6})\d+').sub

_decode_batch = msgspec.json.Decoder(Batch).decode
_PATHS = {"meter": "/v1/telemetry/meter", "vehicle": "/v1/telemetry/vehicle"}
_decoders = {kind: msgspec.json.Decoder(kind) for kind in (MeterReading, VehicleReading, Reading)}


def ten_thousandths(value: float) -> int:
    """Return a value in ten-thousandths; round halves of its decimal notation, not the binary one, away from zero."""
    units = round(value * 10_000)
    if units / 10_000 == value:
        return units
    return int(Decimal(repr(value)).scaleb(4).quantize(Decimal(1), ROUND_HALF_UP))


def _known(value: float | None) -> int | None:
    return None if value is None else ten_thousandths(value)


def to_row(reading: Reading) -> StagedReading:
    """Return the reading as the database stages it."""
    if type(reading) is MeterReading:
        energy, voltage = ten_thousandths(reading.kwh_consumed_ac), _known(reading.voltage)
        return StagedReading(False, reading.meter_id, reading.timestamp, energy, None, voltage)
    assert type(reading) is VehicleReading
    energy, temperature = ten_thousandths(reading.kwh_delivered_dc), _known(reading.battery_temp)
    return StagedReading(True, reading.vehicle_id, reading.timestamp, energy, _known(reading.soc), temperature)


def label(row: StagedReading) -> str:
    """Return the label of a reading in errors."""
    return f"{'vehicle' if row.is_vehicle else 'meter'}:{shown_id(row.device_id)}"


def parse_reading(body: bytes, kind: Any, newest: datetime) -> StagedReading:
    """Return the one reading in `body`; raise InvalidRequestError with the field and the reason."""
    if _has_long_fraction(body):
        body = _cut_fractions(rb"\1", body)
    try:
        reading: Reading = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reading = _convert(loads(body), kind)
    row = to_row(reading)
    return row if row.ts <= newest and is_plain_id(row.device_id) else _checked(row, newest)


def parse_batch(body: bytes, newest: datetime) -> tuple[list[StagedReading], list[int], list[Refused]]:
    """Return the valid readings, their places in the request, and the refused readings.

    Raises InvalidRequestError when the body holds no list of readings or an empty one, TooLargeError when the list has
    more than MAX_BATCH_READINGS.
    """
    refused: list[Refused] = []
    if _has_long_fraction(body):
        body = _cut_fractions(rb"\1", body)
    try:
        readings: Sequence[Reading | None] = _counted(_decode_batch(body).readings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # A reading is not valid, or the JSON holds what only lenient parsers accept (NaN): parse each by itself.
        readings = _parse_each(loads(body, what='{"readings": [...]}'), refused)
    rows: list[StagedReading] = []
    places: list[int] = []
    for index, reading in enumerate(readings):
        if reading is None:
            continue
        row = to_row(reading)
        if row.ts > newest or not is_plain_id(row.device_id):
            try:
                row = _checked(row, newest)
            except InvalidRequestError as error:
                refused.append(Refused(index, label(row), error.field, f"{error.field} {error}"))
                continue
        rows.append(row)
        places.append(index)
    return rows, places, refused


def _parse_each(document: Any, refused: list[Refused]) -> list[Reading | None]:
    items = document.get("readings") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise InvalidRequestError("must be a list of readings", "readings")
    readings: list[Reading | None] = []
    for index, item in enumerate(_counted(items)):
        try:
            readings.append(_convert(item, Reading))
        except InvalidRequestError as error:
            readings.append(None)
            reason = f"{error.field} {error}" if error.field else str(error)
            refused.append(Refused(index, _guess_label(item), error.field, reason))
    return readings


def _counted(readings: list[Any]) -> list[Any]:
    # This check comes before any conversion: a short request can hold millions of readings.
    if len(readings) > MAX_BATCH_READINGS:
        raise TooLargeError(f"a batch holds at most {MAX_BATCH_READINGS} readings")
    if not readings:
        raise InvalidRequestError("must hold at least one reading", "readings")
    return readings


def _convert(item: Any, kind: Any) -> Reading:
    try:
        reading: Reading = msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        field, reason = describe_validation_error(error)
        if (
            field == "type" and kind is not Reading and isinstance(item, dict) and item.get("type") in tuple(_PATHS)
        ):  # it may be a list
            reason = f"must be {_tag(kind)} here: send this reading to {_PATHS[item['type']]}, or to /v1/telemetry"
        raise InvalidRequestError(reason, field) from None
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "reading holds half of a surrogate pair, which is no character: send both halves"
        ) from None
    return reading


def _tag(kind: type[Struct]) -> str:
    return str(kind.__struct_config__.tag)


def guess_label(body: bytes, kind: Any) -> str:
    """Return the label of the refused reading in `body`, as far as it can be told."""
    try:
        item = loads(body)
    except InvalidRequestError:
        return "unknown"
    tag = getattr(kind, "__struct_config__", None) and kind.__struct_config__.tag
    return _guess_label({"type": tag} | item if tag and isinstance(item, dict) else item)


def _guess_label(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in ("meter", "vehicle"):
        return "unknown"
    return f"{kind}:{shown_id(item.get(f'{kind}Id'))}"


def _checked(row: StagedReading, newest: datetime) -> StagedReading:
    """Return a reading with its id in NFC; raise InvalidRequestError for an id that is none or a time to come."""
    row = row._replace(device_id=to_id(row.device_id, ID_FIELD[row.is_vehicle]))
    if row.ts > newest:
        raise InvalidRequestError(f"must not be later than {in_utc(newest)}", "timestamp")
    return row


def newest_accepted(max_clock_skew: timedelta) -> datetime:
    """Return the latest time that a reading may carry now."""
    return datetime.now(UTC) + max_clock_skew
