"""SQL templates: what holds for both streams, or for each of their rollups, is written once.

A file named `*.stream.sql` is rendered once for each stream, one named `*.rollup.sql` once for each rollup of each of
them, one named `*.source.sql` once for each of those and for readings. `{name}` stands for what the tables below say; a
line that holds `{measure}` is repeated for each measure of the stream, and one that ends in `-- vehicles only` is left
out for meters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_STREAMS: tuple[dict[str, str], ...] = (
    {
        "stream": "meter",
        "stream_title": "Meter",
        "fleet": "fleet_chargers",
        "device": "meter_id",
        "is_vehicle": "false",
        "energy": "kwh_consumed_ac",
        "energy_in_words": "AC energy drawn from the grid",
        "measures": "voltage",
        "staged_measures": "s.voltage_or_temp_e4 * 0.0001",
    },
    {
        "stream": "vehicle",
        "stream_title": "Vehicle",
        "fleet": "fleet_vehicles",
        "device": "vehicle_id",
        "is_vehicle": "true",
        "energy": "kwh_delivered_dc",
        "energy_in_words": "DC energy that reached the battery",
        "measures": "soc, battery_temp",
        "staged_measures": "s.soc_e4 * 0.0001, s.voltage_or_temp_e4 * 0.0001",
    },
)
_MEASURES: dict[str, tuple[dict[str, str], ...]] = {
    "meter": ({"measure": "voltage", "measure_in_words": "voltage in V"},),
    "vehicle": (
        {"measure": "soc", "measure_in_words": "state of charge in percent"},
        {"measure": "battery_temp", "measure_in_words": "battery temperature in °C"},
    ),
}
_ROLLUPS: tuple[dict[str, str], ...] = (
    {"rollup": "15min", "width": "15 minutes"},
    {"rollup": "hourly", "width": "1 hour"},
    {"rollup": "daily", "width": "1 day"},
)
_SOURCES = ({"source": "reading"}, *({"source": rollup["rollup"]} for rollup in _ROLLUPS))
_NAME = re.compile(r"\{([a-z_]+)\}")
_PER_MEASURE = re.compile(r"\{measure(_in_words)?\}")
_VEHICLES_ONLY = "-- vehicles only\n"


def render(path: Path) -> str:
    """Return the SQL of a file, with templates filled in; raise KeyError for a name that has no meaning there."""
    text = path.read_text()
    if path.name.endswith(".stream.sql"):
        return "\n".join(_fill(text, stream) for stream in _STREAMS)
    if path.name.endswith(".rollup.sql"):
        return "\n".join(_fill(text, stream | rollup) for stream in _STREAMS for rollup in _ROLLUPS)
    if path.name.endswith(".source.sql"):
        return "\n".join(_fill(text, stream | source) for stream in _STREAMS for source in _SOURCES)
    return text


def _fill(text: str, values: Mapping[str, str]) -> str:
    return "".join(_lines(text, values))


def _lines(text: str, values: Mapping[str, str]) -> Iterator[str]:
    stream = values["stream"]
    for line in text.splitlines(keepends=True):
        if line.endswith(_VEHICLES_ONLY) and stream != "vehicle":
            continue
        for measure in _MEASURES[stream] if _PER_MEASURE.search(line) else ({},):
            yield _replaced(line, {**values, **measure})


def _replaced(line: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: values[match[1]], line)
