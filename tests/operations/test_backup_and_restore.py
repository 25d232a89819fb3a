"""make backup and make restore: what comes back answers every question as before."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_service import Client, client_of, meter_reading, now, rfc3339, vehicle_reading, wait_until
from staging import ingest, meter, refresh, vehicle

from service.access.scope import Scope
from service.access.store import open_keys
from service.app import create_app
from service.database.installation import client_program
from service.database.migrate import migrate
from service.errors import OperationError
from service.operations.backup import restore

TODAY = now().replace(hour=0, minute=0, second=0, microsecond=0)
# Young enough for every question, old enough not to go offline between one question and its repetition.
LATEST = now().replace(microsecond=0) - timedelta(hours=2)
END = rfc3339(LATEST + timedelta(hours=1))
QUESTIONS = [
    *(f"/v1/analytics/performance/V{n}?hours={hours}&end={END}" for n in (1, 2) for hours in (1, 30, 8760)),
    *(f"/v1/analytics/trend/V{n}?hours=720&end={END}" for n in (1, 2)),
    *(f"/v1/analytics/fleet/efficiency?hours={hours}&end={END}" for hours in (7, 100, 8760)),
    *(f"/v1/status/{kind}" for kind in ("meter/M1", "vehicle/V1", "vehicle/V2", "overview", "meters", "vehicles")),
    *(f"/v1/status/{kind}" for kind in ("vehicles/charging", "vehicles/warnings", "meters/online")),
    "/v1/telemetry/mappings",
]


@pytest.fixture
def filled(connection, edition):
    """Three weeks of two pairs: rolled up, partly dropped, partly in the columnstore, with late and mapped readings."""
    connection.execute("SELECT FROM engine.map_device('M1', 'V1')")
    connection.execute("SELECT FROM engine.map_device('M2', 'V2', %s)", [TODAY - timedelta(days=15)])
    for day in range(21, 0, -1):
        at = TODAY - timedelta(days=day) + timedelta(hours=3)
        rows = [(at + timedelta(minutes=37 * n), n) for n in range(20)]
        ingest(
            connection,
            *(meter(f"M{1 + n % 2}", ts, 1.1 + n / 7, 231 + n) for ts, n in rows),
            *(vehicle(f"V{1 + n % 2}", ts, 1 + n / 7, 30 + n, 25 + day) for ts, n in rows),
        )
    ingest(connection, meter("M1", LATEST, 1.5), vehicle("V1", LATEST, 1.25, 44, 46), vehicle("V2", LATEST, 0, 80, 20))
    refresh(connection)
    if edition == "timescale":
        chunks = "SELECT c::text FROM show_chunks('meter_telemetry_history', older_than => interval '5 days') AS c"
        for (chunk,) in connection.execute(chunks).fetchall():
            connection.execute(f"CALL convert_to_columnstore('{chunk}')")
    connection.execute("SELECT engine.set_retention('meter_telemetry_history', '17 days', false)")
    connection.execute("CALL engine.apply_retention()")
    # Late, and not rolled up again yet.
    ingest(connection, meter("M1", TODAY - timedelta(days=9), 5), vehicle("V2", TODAY - timedelta(days=9), 4))
    return connection


def answers(client: Client) -> dict[str, Any]:
    found = {}
    for question in QUESTIONS:
        answer = client.get(question)
        assert answer.status_code == 200, (question, answer.text)
        found[question] = answer.json()
    return found


def test_a_restored_database_gives_every_answer_and_goes_on(
    told: Callable[..., str], filled, client, settings, edition, database_url, empty_database_url,
    tmp_path: Path
):  # fmt: skip
    if edition == "timescale":
        filled.execute("SELECT alter_job(job_id, scheduled => true, next_start => now() + interval '1 day') "
                       "FROM timescaledb_information.jobs WHERE proc_name = 'apply_retention'")  # fmt: skip
    wait_until(lambda: client.get("/health/ready").status_code == 200)
    with open_keys(database_url) as keys:
        for name in ("first", "second"):
            keys.create(name, [Scope.READ])
        keys.rotate("first")
    before = answers(client)
    assert before[QUESTIONS[0]]["totalKwhDeliveredDc"] == 1.25
    archive = tmp_path / "engine.backup"
    said = told("backup", FILE=str(archive))
    assert f"readings, 33 relations ({edition} edition)" in said
    manifest = json.loads(archive.with_name("engine.backup.manifest.json").read_text())
    assert manifest["relations"]["engine.mapping"]["rows"] == 2
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine.backup", "engine.backup.manifest.json"]

    assert "restored and compared: " in told("restore", FILE=str(archive), url=empty_database_url)

    with client_of(create_app(settings(), empty_database_url)) as restored:
        wait_until(lambda: restored.get("/health/ready").status_code == 200)
        assert answers(restored) == before
        known = meter_reading(meterId="M1", timestamp=rfc3339(LATEST), kwhConsumedAc=9)
        fresh = vehicle_reading(vehicleId="V1")
        answer = restored.post("/v1/telemetry/batch", json={"readings": [known, fresh]}).json()
        assert (answer["success"], answer["duplicates"]) == (2, 1)
    with open_keys(empty_database_url) as keys:
        assert [(key.name, key.rotated_at is None) for key in keys.all()] == [("first", False), ("second", True)]
    with psycopg.connect(empty_database_url, autocommit=True) as session:
        refresh(session)
        assert session.execute("SELECT count(*) FROM engine.stale_hour").fetchone() == (0,)
        assert session.execute(
            "SELECT keep::text FROM engine.retention WHERE relation = 'meter_telemetry_history'"
        ).fetchone() == ("17 days",)
        assert session.execute(
            "SELECT has_table_privilege('analyst', 'meter_telemetry_daily', 'SELECT')"
        ).fetchone() == (True,)
        if edition == "timescale":
            scheduled = session.execute(
                "SELECT proc_name FROM timescaledb_information.jobs WHERE scheduled AND job_id >= 1000"
            ).fetchall()
            assert scheduled == [("apply_retention",)], "as in the database that was backed up"
            assert session.execute("SHOW timescaledb.restoring").fetchone() == ("off",)
    assert migrate(empty_database_url, edition) == edition


def test_a_backup_is_of_one_instant_while_readings_come_in(
    told, connection, connect, empty_database_url, tmp_path: Path
):
    stopped = threading.Event()

    def send() -> int:
        with connect() as session:
            sent = 0
            while not stopped.is_set():
                ingest(session, *(meter(f"M{n}", LATEST - timedelta(seconds=sent)) for n in range(20)))
                sent += 1
        return sent

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            wait_until(lambda: connection.execute("SELECT count(*) > 200 FROM meter_telemetry_history").fetchone()[0])
            told("backup", FILE=str(tmp_path / "b"))
        finally:
            stopped.set()
        sent = sending.result()
    told("restore", FILE=str(tmp_path / "b"), url=empty_database_url)
    with psycopg.connect(empty_database_url) as session:
        rows, devices, total = session.execute(
            "SELECT count(*), count(DISTINCT meter_id), sum(kwh_consumed_ac) FROM meter_telemetry_history"
        ).fetchone()
        (daily,) = session.execute("SELECT sum(day_kwh) FROM engine.meter_state").fetchone()
    assert 200 < rows < sent * 20
    assert (rows % 20, devices, total) == (0, 20, rows)
    assert daily == (rows if LATEST >= TODAY else 0), "whole transactions, hot status with the history that made it"


def test_a_restore_touches_no_database_that_holds_anything(told, refused, connection, tmp_path: Path):
    ingest(connection, meter("M1", LATEST))
    told("backup", FILE=str(tmp_path / "b"))
    assert "the database is not empty" in refused("restore", FILE=str(tmp_path / "b"))
    assert connection.execute("SELECT count(*) FROM meter_telemetry_history").fetchone() == (1,)


def test_a_backup_overwrites_nothing_and_leaves_nothing_half_done(refused, tmp_path: Path):
    (tmp_path / "b").write_text("precious")
    assert "never overwrites" in refused("backup", FILE=str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "precious"
    assert "is no folder" in refused("backup", FILE=str(tmp_path / "missing" / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_damaged_lone_or_missing_archive_is_refused_before_anything_is_done(
    told, refused, empty_database_url, tmp_path: Path
):
    archive = tmp_path / "b"
    told("backup", FILE=str(archive))
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    assert "is damaged" in refused("restore", FILE=str(archive), url=empty_database_url)
    archive.unlink()
    assert f"{archive} is missing" in refused("restore", FILE=str(archive), url=empty_database_url)
    archive.with_name("b.manifest.json").unlink()
    archive.touch()
    assert "manifest.json is missing" in refused("restore", FILE=str(archive), url=empty_database_url)
    with psycopg.connect(empty_database_url) as session:
        assert session.execute("SELECT to_regnamespace('engine')").fetchone() == (None,)


def test_a_database_that_came_back_different_is_told(told, connection, empty_database_url, tmp_path: Path):
    ingest(connection, meter("M1", LATEST), meter("M2", LATEST))
    archive = tmp_path / "b"
    told("backup", FILE=str(archive))
    path = archive.with_name("b.manifest.json")
    manifest = json.loads(path.read_text())
    manifest["relations"]["public.meter_telemetry_history"]["rows"] = 3
    manifest["relations"]["engine.settings"]["checksum"] = "1"
    path.write_text(json.dumps(manifest))
    with pytest.raises(OperationError) as error:
        restore(empty_database_url, archive)
    assert "public.meter_telemetry_history holds 2 rows instead of 3" in str(error.value)
    assert "engine.settings holds other values" in str(error.value)


def test_a_server_that_cannot_take_the_backup_says_why(told, refused, edition, empty_database_url, tmp_path: Path):
    archive = tmp_path / "b"
    told("backup", FILE=str(archive))
    path = archive.with_name("b.manifest.json")
    manifest = json.loads(path.read_text())
    for changed, reason in (
        ({"timescaledb": "2.1.0"}, "the backup is of TimescaleDB 2.1.0, which this server does not offer"),
        ({"postgres_major": 99}, "the backup is of PostgreSQL 99"),
    ):
        path.write_text(json.dumps(manifest | changed))
        assert reason in refused("restore", FILE=str(archive), url=empty_database_url)


def test_programs_that_are_not_here_are_named():
    with pytest.raises(OperationError, match="no pg_dump of version 99 or newer here: install PostgreSQL 99"):
        client_program("pg_dump", 99)
