"""The readings that are sent: encoded once, with a hole for the minute, so that sending costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from service.simulate.fleet import Array, meter_id, vehicle_id

# As long as a minute in text, so that filling the hole moves no byte.
HOLE = b"@@@@-@@-@@T@@:@@"
_VARIANTS = 8


@dataclass(frozen=True)
class Values:
    """What the fleet measured in a minute, as integers; entry i is meter i and vehicle i, at second[i]."""

    second: Array
    ac_units: Array  # 1e-4 kWh
    volt_centi: Array
    dc_units: Array  # 1e-4 kWh
    soc_centi: Array
    temp_deci: Array


def draw(devices: int, variant: int) -> Values:
    """Return plausible values of a minute, the same for the same arguments."""
    rng = np.random.default_rng([devices, variant])
    ac_units = rng.integers(1000, 9999, devices)
    return Values(
        second=np.arange(devices) * 60 // devices,
        ac_units=ac_units,
        volt_centi=rng.integers(22_500, 24_500, devices),
        dc_units=np.rint(ac_units * rng.uniform(0.7, 0.95, devices)).astype(np.int64),
        soc_centi=rng.integers(1000, 10_000, devices),
        temp_deci=rng.integers(150, 600, devices),
    )


def minute_text(minute: int) -> bytes:
    """Return a minute since the epoch as it stands in a reading's timestamp, up to its seconds."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M").encode()


def singles(devices: int, variant: int) -> list[bytes]:
    """Return the JSON of every device's reading in a minute, meters and vehicles by turns, with the hole."""
    values = draw(devices, variant)
    bodies: list[bytes] = []
    columns = (values.second, values.ac_units, values.volt_centi, values.dc_units, values.soc_centi, values.temp_deci)
    for i, (second, ac, volt, dc, soc, temp) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        stamp = f'"timestamp":"{HOLE.decode()}:{second:02d}Z"}}'
        bodies.append(
            f'{{"type":"meter","meterId":"{meter_id(i)}","kwhConsumedAc":{ac / 1e4},'
            f'"voltage":{volt / 100},{stamp}'.encode()
        )
        bodies.append(
            f'{{"type":"vehicle","vehicleId":"{vehicle_id(i)}","soc":{soc / 100},"kwhDeliveredDc":{dc / 1e4},'
            f'"batteryTemp":{temp / 10},{stamp}'.encode()
        )
    return bodies


def single_bodies(devices: int, first_minute: int, end_minute: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield single readings as `Batches.bodies` yields batches: body, 1 and minute, each reading once."""
    templates = singles(devices, 0)
    for minute in range(first_minute, end_minute):
        text = minute_text(minute)
        for template in templates:
            yield template.replace(HOLE, text), 1, minute


class Batches:
    """Bodies of batch requests, minute after minute, each reading once."""

    def __init__(self, devices: int, batch_readings: int) -> None:
        self.minute_readings = 2 * devices
        self._bodies: list[list[tuple[bytes, int]]] = []
        for variant in range(_VARIANTS):
            parts = singles(devices, variant)
            groups = [parts[start : start + batch_readings] for start in range(0, len(parts), batch_readings)]
            self._bodies.append([(b'{"readings":[' + b",".join(group) + b"]}", len(group)) for group in groups])

    def bodies(self, first_minute: int, end_minute: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield body, number of readings and minute of every batch from first_minute to end_minute (excluded)."""
        for minute in range(first_minute, end_minute):
            text = minute_text(minute)
            for body, count in self._bodies[minute % _VARIANTS]:
                yield body.replace(HOLE, text), count, minute


class CopyMinutes:
    """The same readings as COPY data, meters and vehicles apart."""

    def __init__(self, devices: int) -> None:
        self._texts: list[tuple[bytes, bytes]] = []
        self._binaries: list[tuple[Array, Array, Array]] = []
        for variant in range(_VARIANTS):
            values = draw(devices, variant)
            self._texts.append(_copy_text(values))
            self._binaries.append((values.second.astype(np.int64) * 1_000_000, *_copy_records(values)))

    def text(self, minute: int) -> tuple[bytes, bytes]:
        """Return a minute's meter and vehicle rows in COPY's text format."""
        meters, vehicles = self._texts[minute % _VARIANTS]
        moment = minute_text(minute)
        return meters.replace(HOLE, moment), vehicles.replace(HOLE, moment)

    def binary(self, minute: int) -> tuple[bytes, bytes]:
        """Return a minute's meter and vehicle rows in COPY's binary format."""
        offset_us, *streams = self._binaries[minute % _VARIANTS]
        for records in streams:
            records["ts"] = minute * 60_000_000 - _POSTGRES_EPOCH_US + offset_us
        meters, vehicles = (_BINARY_HEADER + records.tobytes() + b"\xff\xff" for records in streams)
        return meters, vehicles


def _copy_text(values: Values) -> tuple[bytes, bytes]:
    hole = HOLE.decode()
    seconds = values.second.tolist()
    meters = [
        f"{meter_id(i)}\t{hole}:{seconds[i]:02d}Z\t{ac / 1e4}\t{volt / 100}\n"
        for i, (ac, volt) in enumerate(zip(values.ac_units.tolist(), values.volt_centi.tolist(), strict=True))
    ]
    measured = zip(values.soc_centi.tolist(), values.dc_units.tolist(), values.temp_deci.tolist(), strict=True)
    vehicles = [
        f"{vehicle_id(i)}\t{hole}:{seconds[i]:02d}Z\t{soc / 100}\t{dc / 1e4}\t{temp / 10}\n"
        for i, (soc, dc, temp) in enumerate(measured)
    ]
    return "".join(meters).encode(), "".join(vehicles).encode()


# PostgreSQL's binary COPY: signature, flags, extension length; then a field count and length-prefixed fields a row.
_BINARY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_POSTGRES_EPOCH_US = 946_684_800_000_000


def _copy_records(values: Values) -> tuple[Array, Array]:
    devices = len(values.second)
    meters = [meter_id(i).encode() for i in range(devices)]
    vehicles = [vehicle_id(i).encode() for i in range(devices)]
    one = {"kwh": (-1, 4, [values.ac_units]), "voltage": (0, 2, _split(values.volt_centi, 100))}
    two = {
        "soc": (0, 2, _split(values.soc_centi, 100)),
        "kwh": (-1, 4, [values.dc_units]),
        "temp": (0, 1, _split(values.temp_deci, 10)),
    }
    return _records(meters, one), _records(vehicles, two)


def _split(scaled: Array, scale: int) -> list[Array]:
    """Return whole and fractional part as the base-10,000 digits of PostgreSQL's numeric."""
    return [scaled // scale, scaled % scale * (10_000 // scale)]


def _records(ids: list[bytes], numerics: dict[str, tuple[int, int, list[Array]]]) -> Array:
    width = len(ids[0])
    layout = [("fields", ">i2"), ("id_size", ">i4"), ("id", f"S{width}"), ("ts_size", ">i4"), ("ts", ">i8")]
    for name, (_, _, digits) in numerics.items():
        head = [(f"{name}_{part}", ">i2") for part in ("count", "weight", "sign", "scale")]
        layout += [(f"{name}_size", ">i4"), *head, *((f"{name}_{n}", ">i2") for n in range(len(digits)))]
    records = np.zeros(len(ids), np.dtype(layout))
    records["fields"], records["id_size"], records["id"], records["ts_size"] = 2 + len(numerics), width, ids, 8
    for name, (weight, scale, digits) in numerics.items():
        records[f"{name}_size"], records[f"{name}_count"] = 8 + 2 * len(digits), len(digits)
        records[f"{name}_weight"], records[f"{name}_scale"] = weight, scale
        for n, digit in enumerate(digits):
            records[f"{name}_{n}"] = digit
    return records
