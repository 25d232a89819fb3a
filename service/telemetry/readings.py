"""The readings that devices send: their fields and limits, and how the service parses them.

`json` parses a batch that holds an invalid reading, and msgspec converts each reading by itself. `list[msgspec.Raw]`
would be shorter, but msgspec then refuses the whole batch for a NaN or a number beyond floats in one of its readings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from service.errors import InvalidRequestError, TooLargeError
from service.http.validation import NOT_AN_ID, describe_validation_error

MAX_BATCH_READINGS = 50_000

# No control character, no slash, no lone surrogate; no white space at either end.
_ID_PATTERN = r"^(?!\s)[^\x00-\x1f\x7f-\x9f/\ud800-\udfff]*(?<!\s)$(?!\n)"

_ID_MEANING = "1 to 64 characters; no control character, no slash, no white space at either end"

DeviceId = Annotated[str, Meta(min_length=1, max_length=64, pattern=_ID_PATTERN, description=_ID_MEANING)]
# The id in a reading. Its pattern is checked after decoding, as msgspec needs more time for it than for all the rest.
_UncheckedId = Annotated[
    str,
    Meta(min_length=1, max_length=64, extra_json_schema={"pattern": _ID_PATTERN}, description=_ID_MEANING),
]
EnergyKwh = Annotated[float, Meta(ge=0, lt=99_999_999.99995)]
Soc = Annotated[float, Meta(ge=0, le=100, description="State of charge in percent")]
Voltage = Annotated[float, Meta(ge=0, le=1000, description="Grid voltage in V")]
Celsius = Annotated[float, Meta(ge=-60, le=150, description="Battery temperature in °C")]
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
    """A reading as the database stages it: in ten-thousandths of kWh, of percent (None for meters), of V or °C."""

    is_vehicle: bool
    device_id: str
    ts: datetime
    energy: int
    soc: int | None
    voltage_or_temp: int


class Refused(NamedTuple):
    """A reading that the service does not store: its place in the request, its label, the field and the reason."""

    place: int
    label: str
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"readings[{self.place}] {self.label}: {self.reason}"


ID_FIELD = ("meterId", "vehicleId")  # by StagedReading.is_vehicle

_is_id = re.compile(_ID_PATTERN).match
_decode_batch = msgspec.json.Decoder(Batch).decode
_decoders = {kind: msgspec.json.Decoder(kind) for kind in (MeterReading, VehicleReading, Reading)}


def ten_thousandths(value: float) -> int:
    """Return a value in ten-thousandths; round halves of its decimal notation, not the binary one, away from zero."""
    units = round(value * 10_000)
    if units / 10_000 == value:
        return units
    return int(Decimal(repr(value)).scaleb(4).quantize(Decimal(1), ROUND_HALF_UP))


def to_row(reading: Reading) -> StagedReading:
    """Return the reading as the database stages it."""
    if type(reading) is MeterReading:
        energy, voltage = ten_thousandths(reading.kwh_consumed_ac), ten_thousandths(reading.voltage)
        return StagedReading(False, reading.meter_id, reading.timestamp, energy, None, voltage)
    assert type(reading) is VehicleReading
    energy, temperature = ten_thousandths(reading.kwh_delivered_dc), ten_thousandths(reading.battery_temp)
    return StagedReading(True, reading.vehicle_id, reading.timestamp, energy, ten_thousandths(reading.soc), temperature)


def label(row: StagedReading) -> str:
    """Return the label of a reading in errors."""
    return f"{'vehicle' if row.is_vehicle else 'meter'}:{row.device_id if _is_id(row.device_id) else '?'}"


def parse_reading(body: bytes, kind: Any, newest: datetime) -> StagedReading:
    """Return the one reading in `body`; raise InvalidRequestError with the field and the reason."""
    try:
        reading: Reading = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reading = _convert(_loads(body), kind)
    row = to_row(reading)
    if row.ts > newest or not _is_id(row.device_id):
        field, reason = _refusal(row, newest)
        raise InvalidRequestError(reason, field)
    return row


def parse_batch(body: bytes, newest: datetime) -> tuple[list[StagedReading], list[int], list[Refused]]:
    """Return the valid readings, their places in the request, and the refused readings.

    Raises InvalidRequestError when the body holds no list of readings or an empty one, TooLargeError when the list has
    more than MAX_BATCH_READINGS.
    """
    refused: list[Refused] = []
    try:
        readings: Sequence[Reading | None] = _counted(_decode_batch(body).readings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # A reading is not valid, or the JSON holds what only lenient parsers accept (NaN): parse each by itself.
        readings = _parse_each(_loads(body), refused)
    rows: list[StagedReading] = []
    places: list[int] = []
    for index, reading in enumerate(readings):
        if reading is None:
            continue
        row = to_row(reading)
        if row.ts > newest or not _is_id(row.device_id):
            field, reason = _refusal(row, newest)
            refused.append(Refused(index, label(row), field, f"{field} {reason}"))
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


def _integer(text: str) -> int | float:
    # Python refuses integers of more than 4,300 digits. As a float, such a number is infinite, which is refused later.
    return int(text) if len(text) <= 400 else float(text)


def _loads(body: bytes) -> Any:
    try:
        # The body is decoded here, as the json module accepts encoded surrogates in bytes.
        return json.loads(body.decode(), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequestError(f"body is not valid JSON: {detail}") from None


def _convert(item: Any, kind: Any) -> Reading:
    try:
        reading: Reading = msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        field, reason = describe_validation_error(error)
        raise InvalidRequestError(reason, field) from None
    except UnicodeEncodeError:
        raise InvalidRequestError("holds half of a surrogate pair, which is no character") from None
    return reading


def guess_label(body: bytes, kind: Any) -> str:
    """Return the label of the refused reading in `body`, as far as it can be told."""
    try:
        item = _loads(body)
    except InvalidRequestError:
        return "unknown"
    tag = getattr(kind, "__struct_config__", None) and kind.__struct_config__.tag
    return _guess_label({"type": tag} | item if tag and isinstance(item, dict) else item)


def _guess_label(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in ("meter", "vehicle"):
        return "unknown"
    device = item.get(f"{kind}Id")
    shown = device if isinstance(device, str) and re.fullmatch(_ID_PATTERN, device[:64]) else "?"
    return f"{kind}:{shown[:64]}"


def _refusal(row: StagedReading, newest: datetime) -> tuple[str, str]:
    if not _is_id(row.device_id):
        return ID_FIELD[row.is_vehicle], NOT_AN_ID
    return "timestamp", f"must not be later than {newest.astimezone(UTC).isoformat(timespec='seconds')}"


def newest_accepted(max_clock_skew: timedelta) -> datetime:
    """Return the latest time that a reading may carry now."""
    return datetime.now(UTC) + max_clock_skew
