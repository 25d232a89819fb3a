"""Readings as JSON lines, formatted for all devices at once.

Every line of a kind has the same width: a number is padded with spaces on the left and an id on the right,
which JSON allows. So a minute of the whole fleet is an array of fixed-width records whose fields are copied
from tables of ready-made text, and a line is cut out by its position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from service.simulate.fleet import UNITS_PER_KWH, Array


class Chunk(NamedTuple):
    """Some readings as comma-terminated JSON objects of equal width."""

    data: bytes
    width: int

    @property
    def readings(self) -> int:
        """Number of readings."""
        return len(self.data) // self.width


def _texts(low: int, high: int, scale: int, form: str) -> Array:
    return np.array([form.format(value / scale).encode() for value in range(low, high + 1)])


def clock_texts(seconds: Array) -> Array:
    """Write times (whole seconds since the epoch) as RFC 3339 without the Z that the line adds."""
    return np.datetime_as_string(seconds.astype("datetime64[s]"), unit="s").astype("S19")


class _Lines:
    """Records of one kind, one for each given device id; `_before` is the JSON up to each field."""

    # Energy in two halves (whole kWh and 1e-4 kWh) keeps the tables small for any energy below 10,000 kWh.
    _WHOLE = _texts(0, 9999, 1, "{:4.0f}")
    _FRACTION = _texts(0, 9999, 1, "{:04.0f}")

    def __init__(self, head: str, ids: Sequence[str], energy: str, fields: Sequence[tuple[str, str, str]]) -> None:
        heads = [f"{head}{msgspec.json.encode(name).decode()},".encode() for name in ids]
        layout: list[tuple[str, str, bytes | None]] = [
            ("head", f"S{max(map(len, heads))}", None),
            ("energy_name", f"S{len(energy) + 3}", f'"{energy}":'.encode()),
            ("whole", "S4", None),
            ("point", "S1", b"."),
            ("fraction", "S4", None),
        ]
        for field, name, form in fields:
            layout.append((f"{field}_name", f"S{len(name) + 4}", f',"{name}":'.encode()))
            layout.append((field, form, None))
        layout.append(("time_name", "S14", b',"timestamp":"'))
        layout.append(("time", "S19", None))
        layout.append(("end", "S4", b'Z"},'))
        self._rows = np.empty(len(ids), dtype=[(field, form) for field, form, _ in layout])
        for field, _, constant in layout:
            if constant is not None:
                self._rows[field] = constant
        widest = max(map(len, heads))
        self._rows["head"] = [name.ljust(widest) for name in heads]
        self.width = self._rows.dtype.itemsize

    def _put(self, times: Array, energy_units: Array) -> None:
        whole, fraction = np.divmod(energy_units, UNITS_PER_KWH)
        self._rows["whole"] = self._WHOLE[whole]
        self._rows["fraction"] = self._FRACTION[fraction]
        self._rows["time"] = times


class MeterLines(_Lines):
    """Writes readings of these meters."""

    _VOLTS = _texts(0, 100_000, 100, "{:7.2f}")

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__('{"type":"meter","meterId":', ids, "kwhConsumedAc", [("volts", "voltage", "S7")])

    def write(self, times: Array, ac_units: Array, volt_centi: Array) -> Array:
        """Fill the records (used again by the next call) and return them; arrays as in `Minute`."""
        self._put(times, ac_units)
        self._rows["volts"] = self._VOLTS[volt_centi]
        return self._rows


class VehicleLines(_Lines):
    """Writes readings of these vehicles."""

    _SOC = _texts(0, 10_000, 100, "{:6.2f}")
    _COLDEST_DECI = -600
    _CELSIUS = _texts(_COLDEST_DECI, 1500, 10, "{:5.1f}")

    def __init__(self, ids: Sequence[str]) -> None:
        fields = [("soc", "soc", "S6"), ("celsius", "batteryTemp", "S5")]
        super().__init__('{"type":"vehicle","vehicleId":', ids, "kwhDeliveredDc", fields)

    def write(self, times: Array, dc_units: Array, soc_centi: Array, temp_deci: Array) -> Array:
        """Fill the records (used again by the next call) and return them; arrays as in `Minute`."""
        self._put(times, dc_units)
        self._rows["soc"] = self._SOC[soc_centi]
        self._rows["celsius"] = self._CELSIUS[temp_deci - self._COLDEST_DECI]
        return self._rows


class Batch(NamedTuple):
    """The body of one request to `/v1/telemetry/batch`."""

    body: bytes
    readings: int


class Batches:
    """Cuts a stream of chunks into request bodies of `size` readings; the cuts never change the stream."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, chunk: Chunk) -> Iterator[Batch]:
        """Take a chunk and yield the batches that it completes."""
        first = 0
        while first < chunk.readings:
            take = min(self._size - self._count, chunk.readings - first)
            self._parts.append(chunk.data[first * chunk.width : (first + take) * chunk.width])
            self._count += take
            first += take
            if self._count == self._size:
                yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """Yield what has been taken and not yet been cut, if anything."""
        if self._count:
            body = b'{"readings":[' + b"".join(self._parts)[:-1] + b"]}"
            yield Batch(body, self._count)
            self._parts, self._count = [], 0
