"""The engine as the property tests drive it: requests in, answers out, and every answer held against the model."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from evidence_model import evidence
from litestar.testing import TestClient
from model import (
    FOR_EVER,
    SINCE_EVER,
    Answer,
    Mapping,
    MeterReading,
    Model,
    Reading,
    VehicleReading,
    mapping_answer,
    rounded,
)
from psycopg import Connection, sql

from service.database.configure import apply_settings
from service.settings import Settings

MICROSECOND = timedelta(microseconds=1)
_TIMES = ("From", "To", "At", "Start", "End", "hour", "from", "to")


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    return datetime.now(UTC)


def text(ts: datetime) -> str:
    """Return a time as RFC 3339 in UTC."""
    return ts.isoformat().replace("+00:00", "Z")


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def wire(reading: Reading) -> dict[str, Any]:
    """Return a reading as devices send it."""
    if isinstance(reading, MeterReading):
        return {
            "type": "meter",
            "meterId": reading.device,
            "kwhConsumedAc": float(reading.kwh),
            "voltage": _number(reading.voltage),
            "timestamp": text(reading.ts),
        }
    return {
        "type": "vehicle",
        "vehicleId": reading.device,
        "soc": _number(reading.soc),
        "kwhDeliveredDc": float(reading.kwh),
        "batteryTemp": _number(reading.temp),
        "timestamp": text(reading.ts),
    }


def decode(content: bytes) -> Any:
    """Return a JSON answer with every number exact and every time a datetime."""
    return _with_times(json.loads(content, parse_float=Decimal))


def _with_times(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_times(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if isinstance(value, str) and name.endswith(_TIMES):
        assert value.endswith("Z"), f"{name} is not in UTC with a Z: {value}"
        return datetime.fromisoformat(value)
    return value


def snake(name: str) -> str:
    """Return a name of the API's as SQL spells it."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


class Engine:
    """A migrated database and the service on it, beside a model that is told the same."""

    def __init__(self, edition: str, client: TestClient, connection: Connection, url: str) -> None:
        self.edition, self.client, self.connection, self.url = edition, client, connection, url
        self.model = Model()
        self.judged = True  # whether every reading came through the engine, which judges it
        self.weighs_evidence = True  # whether reasons and verdicts are held against the model too
        self.voided: list[tuple[type[Reading], Reading]] = []

    # ---- telling

    def send(self, readings: list[Reading], endpoint: str = "batch") -> None:
        """Ingest readings; the engine must accept all of them and count the duplicates."""
        if endpoint == "batch":
            answer = self.client.post("/v1/telemetry/batch", json={"readings": [wire(r) for r in readings]})
            duplicates, conflicts = self.model.ingest(readings)
            assert (answer.status_code, decode(answer.content)) == (
                201,
                {
                    "success": len(readings),
                    "failed": 0,
                    "duplicates": duplicates,
                    "conflicts": conflicts,
                    "errors": [],
                },
            )
            return
        for reading in readings:
            body = wire(reading)
            kind = body["type"]
            path = "/v1/telemetry"
            if endpoint == "typed":
                path = f"/v1/telemetry/{body.pop('type')}"
            answer = self.client.post(path, json=body)
            duplicates, conflicts = self.model.ingest([reading])
            expected: Answer = {"success": True, "type": kind, "id": reading.device}
            expected |= {"duplicate": True} if duplicates else {}
            expected |= {"conflict": True} if conflicts else {}
            assert (answer.status_code, decode(answer.content)) == (201, expected)

    def void(self, kind: type[Reading], device: str, start: datetime, end: datetime) -> None:
        """Void the readings of a device over a period, after a dry run that must tell the same."""
        path = f"/v1/telemetry/{'meters' if kind is MeterReading else 'vehicles'}/{quote(device)}/readings"
        query = {"from": text(start), "to": text(end)}
        answers = [self.client.delete(path, params=query | {"dryRun": dry_run}) for dry_run in ("true", "false")]
        if start >= end:
            assert [answer.status_code for answer in answers] == [400, 400]
            return
        taken = self.model.void(kind, device, start, end)
        for answer, dry_run in zip(answers, (True, False), strict=True):
            assert answer.status_code == 200, answer.text
            assert decode(answer.content) == {
                "type": "meter" if kind is MeterReading else "vehicle",
                "id": device,
                "from": start,
                "to": end,
                "dryRun": dry_run,
                "readings": len(taken),
                "kwh": sum((reading.kwh for reading in taken), Decimal(0)),
                "firstReadingAt": taken[0].ts if taken else None,
                "lastReadingAt": taken[-1].ts if taken else None,
            }
        self.voided += [(kind, reading) for reading in taken]

    def map(self, meter: str, vehicle: str, start: datetime | None = None, end: datetime | None = None) -> None:
        """Map a meter to a vehicle."""
        body = {"from": start and text(start), "to": end and text(end)}
        body = {key: value for key, value in body.items() if value is not None}
        before = utc_now()
        answer = self.client.put(f"/v1/telemetry/mapping/{meter}/{vehicle}", **({"json": body} if body else {}))
        now = self._moment(meter, before)
        expected = self.model.map(meter, vehicle, start, end, now)
        if expected is None:
            assert answer.status_code == 400, answer.text
        else:
            assert (answer.status_code, decode(answer.content)) == (200, mapping_answer(expected))
        self.check_mappings()

    def unmap(self, meter: str, vehicle: str, start: datetime | None = None, end: datetime | None = None) -> None:
        """End a mapping."""
        query = {"from": start and text(start), "to": end and text(end)}
        before = utc_now()
        answer = self.client.delete(
            f"/v1/telemetry/mapping/{meter}/{vehicle}", params={k: v for k, v in query.items() if v is not None}
        )
        now = self._moment(meter, before)
        found = self.model.unmap(meter, vehicle, start, end, now)
        assert answer.status_code == {True: 204, False: 404, None: 400}[found], answer.text
        self.check_mappings()

    def _moment(self, meter: str, before: datetime) -> datetime:
        """Return the 'now' of a change of mappings: the edge that it left, if it left any."""
        after = utc_now()
        stored = self.connection.execute(
            "SELECT m.valid_from FROM device_mapping AS m WHERE m.meter_id = %(meter)s AND isfinite(m.valid_from)"
            " UNION SELECT m.valid_to FROM device_mapping AS m WHERE m.meter_id = %(meter)s AND isfinite(m.valid_to)",
            {"meter": meter},
        )
        edges = [edge for (edge,) in stored if before - MICROSECOND <= edge <= after + MICROSECOND]
        assert len(edges) <= 1, edges
        return edges[0] if edges else after

    def refresh(self) -> None:
        """Run the rollup job once, to its end."""
        self.connection.execute("CALL engine.refresh_rollups()")

    def set_timezone(self, zone: str) -> None:
        """Start anew, as it were, with another FLEET_TIMEZONE."""
        self.model.rules = replace(self.model.rules, timezone=zone)
        apply_settings(self.url, Settings(fleet_timezone=zone))

    def chunks(self) -> list[str]:
        """Return the chunks of both histories, oldest first."""
        if self.edition != "timescale":
            return []
        rows = self.connection.execute(
            "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks"
            " WHERE hypertable_schema = 'public' ORDER BY hypertable_name, range_start"
        )
        return [name for (name,) in rows]

    def to_columnstore(self, chunk: str) -> None:
        """Compress a chunk (again, if it holds rows that came after it was compressed)."""
        self.connection.execute("CALL public.convert_to_columnstore(%s::regclass)", [chunk])

    def to_rowstore(self, chunk: str) -> None:
        """Decompress a chunk."""
        self.connection.execute("CALL public.convert_to_rowstore(%s::regclass, if_columnstore => true)", [chunk])

    # ---- past the engine

    def insert(self, readings: list[Reading]) -> None:
        """Insert rows straight into history; none may be there."""
        self.judged = False
        for reading in readings:
            assert reading.ts not in self.model._history(reading)
            self.model.overwrite(reading)
        for table, rows in _by_table(readings).items():
            values = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(r)) for r in rows)
            self.connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ").format(sql.Identifier(table), _columns(table)) + values
            )

    def update(self, reading: Reading) -> None:
        """Change the measures of a row of history."""
        self.judged = False
        self.model.overwrite(reading)
        ((table, (row,)),) = _by_table([reading]).items()
        names = _COLUMNS[table]
        self.connection.execute(
            sql.SQL("UPDATE {} SET {} WHERE {} = {} AND ts = {}").format(
                sql.Identifier(table),
                sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(n), v) for n, v in zip(names[2:], row[2:], strict=True)
                ),
                sql.Identifier(names[0]),
                row[0],
                row[1],
            )
        )

    def move(self, reading: Reading, ts: datetime) -> None:
        """Change the time of a row of history."""
        self.judged = False
        self.model.delete(reading)
        self.model.overwrite(reading._replace(ts=ts))
        ((table, _),) = _by_table([reading]).items()
        self.connection.execute(
            sql.SQL("UPDATE {} SET ts = %s WHERE {} = %s AND ts = %s").format(
                sql.Identifier(table), sql.Identifier(_COLUMNS[table][0])
            ),
            [ts, reading.device, reading.ts],
        )

    def delete(self, readings: list[Reading]) -> None:
        """Delete rows of history."""
        for reading in readings:
            self.model.delete(reading)
            ((table, _),) = _by_table([reading]).items()
            self.connection.execute(
                sql.SQL("DELETE FROM {} WHERE {} = %s AND ts = %s").format(
                    sql.Identifier(table), sql.Identifier(_COLUMNS[table][0])
                ),
                [reading.device, reading.ts],
            )

    # ---- asking

    def get(self, path: str, **query: Any) -> Any:
        """Return an answer, None for 404."""
        answer = self.client.get(path, params={k: v for k, v in query.items() if v is not None})
        if answer.status_code == 404:
            assert answer.headers["content-type"] == "application/problem+json"
            return None
        assert answer.status_code == 200, answer.text
        return decode(answer.content)

    def check_analytics(self, vehicles: list[str], meters: list[str], hours: int, end: datetime | None = None) -> None:
        """Hold every analytics answer over a period against the model, by HTTP and by SQL."""
        if end is None:
            end = self._check_now(vehicles, hours)
        query = {"hours": hours, "end": text(end)}
        for vehicle in vehicles:
            for meter in [None, *meters]:
                expected = self.model.performance(vehicle, hours, end, meter)
                path = f"/v1/analytics/performance/{quote(vehicle)}"
                self._check_performance(self.get(path, meterId=meter, **query), expected, meter)
                rows = self._sql("SELECT * FROM vehicle_performance(%s, %s, %s, %s)", vehicle, hours, end, meter)
                self._check_performance(rows[0] if rows else None, expected, meter)
                assert len(rows) <= 1
            trend = self.model.trend(vehicle, hours, end)
            # Where there is nothing to tell, a vehicle that never reported is unknown.
            is_known = trend or self.get(f"/v1/status/vehicle/{quote(vehicle)}") is not None
            assert self.get(f"/v1/analytics/trend/{quote(vehicle)}", **query) == (trend if is_known else None)
            assert self._sql("SELECT * FROM vehicle_trend(%s, %s, %s)", vehicle, hours, end) == trend
        self._check_fleet(self.get("/v1/analytics/fleet/efficiency", **query), hours, end)
        (fleet,) = self._sql("SELECT * FROM fleet_efficiency(%s, %s)", hours, end)
        self._check_fleet(fleet, hours, end)

    def _check_now(self, vehicles: list[str], hours: int) -> datetime:
        before = utc_now()
        fleet = self.get("/v1/analytics/fleet/efficiency", hours=hours)
        after = utc_now()
        end: datetime = fleet["periodEnd"]
        assert before <= end <= after
        self._check_fleet(fleet, hours, end)
        for vehicle in vehicles:
            answer = self.get(f"/v1/analytics/performance/{quote(vehicle)}", hours=hours)
            if answer is not None:
                self._check_performance(answer, self.model.performance(vehicle, hours, answer["periodEnd"]))
        return end

    def _check_fleet(self, answer: Answer, hours: int, end: datetime) -> None:
        warning = answer.pop("warning")
        assert answer == self.model.fleet_efficiency(hours, end)
        self._check_implausible(warning, self.model.implausible_kwh(None, hours, end))

    def _check_implausible(self, warning: str | None, kwh: Decimal) -> None:
        """Hold what a warning says about implausible readings against the model."""
        if self.judged:
            told = re.search(r"Implausible readings hold ([0-9.]+) kWh", warning or "")
            assert (Decimal(told[1]) if told else 0) == kwh, warning

    def _check_performance(self, answer: Answer | None, expected: Answer | None, meter: str | None = None) -> None:
        if answer is None or expected is None:
            assert answer == expected
            return
        warning = answer.pop("warning")
        self._check_evidence(answer, expected, meter)
        assert answer == expected
        hours = (expected["periodEnd"] - expected["periodStart"]) // timedelta(hours=1)
        kwh = self.model.implausible_kwh(expected["vehicleId"], hours, expected["periodEnd"], meter)
        self._check_implausible(warning, kwh)
        wanted = self.model.expects_warning(expected["efficiencyRatio"])
        if wanted is not None:
            assert ("Efficiency" in (warning or "")) == wanted, warning
        assert warning is None or warning.strip()

    def _check_evidence(self, answer: Answer, expected: Answer, meter: str | None) -> None:
        """Hold the verdict and its reasons against the model, and take them out of the answer."""
        start, end = expected["periodStart"], expected["periodEnd"]
        vehicle = expected["vehicleId"]
        wanted = evidence(self.model, vehicle, start, end, meter)
        told = {name: answer.pop(name) for name in ("pairedRatio", "pairedShare", "verdict", "reasons")}
        if not self.weighs_evidence:
            return
        for name, value in (("pairedRatio", wanted["paired_ratio"]), ("pairedShare", wanted["paired_share"])):
            assert told[name] == (None if value is None else rounded(value)), name
        doubted = [reason for reason in told["reasons"] if reason["reason"] == "implausibleReading"]
        others = [reason for reason in told["reasons"] if reason["reason"] != "implausibleReading"]
        assert sorted(others, key=_place) == sorted(wanted["reasons"], key=_place)
        if self.judged:
            hours = (end - start) // timedelta(hours=1)
            kwh = self.model.implausible_kwh(vehicle, hours, end, meter)
            assert sum((reason["kwh"] for reason in doubted), Decimal(0)) == kwh
        assert told["verdict"] == ("implausible" if doubted else wanted["verdict"])

    def check_status(self, vehicles: list[str], meters: list[str]) -> None:
        """Hold every status answer against the model."""
        # The model is asked for both ends of the time that the engine took; a day may end between them.
        before = utc_now()
        answers = {
            "meters": [self.get(f"/v1/status/meter/{quote(m)}") for m in meters],
            "vehicles": [self.get(f"/v1/status/vehicle/{quote(v)}") for v in vehicles],
            "overview": self.get("/v1/status/overview"),
            "charging": self.get("/v1/status/vehicles/charging"),
            "warnings": self.get("/v1/status/vehicles/warnings"),
            "online": self.get("/v1/status/meters/online"),
            "fleet_overview": self._sql("SELECT * FROM fleet_overview()"),
            "meters_page": self.get("/v1/status/meters", limit=2, page=2),
            "vehicles_page": self.get("/v1/status/vehicles", limit=2),
        }
        after = utc_now()

        def expected(now: datetime) -> dict[str, Any]:
            all_meters, all_vehicles = self.model.all_meters(now), self.model.all_vehicles(now)
            return {
                "meters": [self.model.meter_status(m, now) for m in meters],
                "vehicles": [self.model.vehicle_status(v, now) for v in vehicles],
                "overview": self.model.overview(now),
                "charging": self.model.charging(now),
                "warnings": self.model.warnings(now),
                "online": self.model.online(now),
                "fleet_overview": [self.model.overview(now)],
                "meters_page": _page(all_meters, 2, 2),
                "vehicles_page": _page(all_vehicles, 1, 2),
            }

        if expected(before) == expected(after):
            assert answers == expected(after)

    def check_mappings(self) -> None:
        """Hold the mappings against the model."""
        assert self.get("/v1/telemetry/mappings") == self.model.mapping_list()

    def history(self) -> list[Reading]:
        """Return every row of history by device and time, meters first."""
        meters = self._rows("SELECT meter_id, ts, kwh_consumed_ac, voltage FROM meter_telemetry_history ORDER BY 1, 2")
        vehicles = self._rows(
            "SELECT vehicle_id, ts, kwh_delivered_dc, soc, battery_temp FROM vehicle_telemetry_history ORDER BY 1, 2"
        )
        return [MeterReading(*row) for row in meters] + [VehicleReading(*row) for row in vehicles]

    def voided_history(self) -> list[Reading]:
        """Return every voided reading."""
        query = "SELECT device_id, ts, kwh, {} FROM voided_reading WHERE stream = '{}'"
        meters = self._rows(query.format("voltage", "meter"))
        vehicles = self._rows(query.format("soc, battery_temp", "vehicle"))
        return [MeterReading(*row) for row in meters] + [VehicleReading(*row) for row in vehicles]

    def check_history(self) -> None:
        """Hold every row of history, and every voided one, against the model."""
        assert self.history() == self.model.readings()
        for kind in (MeterReading, VehicleReading):
            found = [reading for reading in self.voided_history() if isinstance(reading, kind)]
            assert sorted(found) == sorted(reading for of_kind, reading in self.voided if of_kind is kind)

    def check_rollups(self) -> None:
        """Hold the rollups against the model; true right after a refresh."""
        for stream in ("meter", "vehicle"):
            for name, width in (
                ("15min", timedelta(minutes=15)),
                ("hourly", timedelta(hours=1)),
                ("daily", timedelta(days=1)),
            ):
                relation = sql.Identifier(f"{stream}_telemetry_{name}")
                cursor = self.connection.execute(sql.SQL("SELECT * FROM {}").format(relation))
                assert cursor.description is not None
                names = [column.name for column in cursor.description]
                found = {}
                for values in cursor.fetchall():
                    row = dict(zip(names, values, strict=True))
                    key = (row.pop(f"{stream}_id"), row.pop("bucket"))
                    assert key not in found
                    found[key] = {n: rounded(v) if n.startswith("avg") and v is not None else v for n, v in row.items()}
                assert found == self.model.rollup(stream, width), f"{stream} {name}"

    def _rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()  # type: ignore[call-overload]

    def _sql(self, query: str, *arguments: Any) -> list[Answer]:
        """Return the rows of a SQL function under the API's names; every number must be exact."""
        cursor = self.connection.execute(query, arguments)  # type: ignore[call-overload]
        names = [_camel(column.name) for column in cursor.description]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _place(reason: Answer) -> tuple[str, datetime]:
    return reason["reason"], reason["from"]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, list):  # reasons, in jsonb
        return [
            {
                "reason": reason["reason"],
                "kwh": None if reason["kwh"] is None else Decimal(str(reason["kwh"])),
                "from": datetime.fromisoformat(reason["from"]),
                "to": datetime.fromisoformat(reason["to"]),
            }
            for reason in value
        ]
    if isinstance(value, dict):  # jsonb
        return {k: None if v is None else Decimal(str(v)) for k, v in value.items()}
    return value


def _page(items: list[Answer], page: int, limit: int) -> Answer:
    data = items[(page - 1) * limit : page * limit]
    return {"data": data, "total": len(items), "page": page, "pages": -(-len(items) // limit)}


_COLUMNS = {
    "meter_telemetry_history": ["meter_id", "ts", "kwh_consumed_ac", "voltage"],
    "vehicle_telemetry_history": ["vehicle_id", "ts", "kwh_delivered_dc", "soc", "battery_temp"],
}


def _columns(table: str) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[table]))


def _by_table(readings: list[Reading]) -> dict[str, list[list[sql.Literal]]]:
    tables: dict[str, list[list[sql.Literal]]] = {}
    for reading in readings:
        stream = "meter" if isinstance(reading, MeterReading) else "vehicle"
        tables.setdefault(f"{stream}_telemetry_history", []).append([sql.Literal(value) for value in reading])
    return tables


def as_mapping(row: tuple[str, str, datetime | None, datetime | None]) -> Mapping:
    """Return a mapping as the model knows it; None: open."""
    meter, vehicle, start, end = row
    return Mapping(meter, vehicle, start or SINCE_EVER, end or FOR_EVER)
