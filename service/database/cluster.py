"""A private PostgreSQL cluster: made, started, shared and stopped.

pg_ctl starts and stops the server, and waits. It is not asked for the status: it takes whatever process has the number
in postmaster.pid for the server, and after a crash that may be any program, which `pg_ctl stop` would end.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg import errors, sql

from service.database.account import Account, account_of_servers, owner_of
from service.database.installation import Installation, output
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

SERVER_CONF = Path(__file__).resolve().parents[2] / "db" / "server.conf"
START_SECONDS, ATTACH_SECONDS = 300.0, 30.0  # a start may have to replay max_wal_size of WAL first
STOP_SECONDS = {"fast": 30.0, "immediate": 10.0}
SOCKET_NAME, SOCKET_LIMIT = ".s.PGSQL.5432", 103  # macOS allows 103 bytes, Linux 107


class Cluster:
    """One data directory, and the server on it."""

    def __init__(self, data_dir: Path, installation: Installation) -> None:
        self.data_dir, self.installation = data_dir, installation
        self.path = data_dir / installation.cluster_name
        self.lock_path = data_dir / f"{self.path.name}.lock"
        self.log_path = data_dir / f"{self.path.name}.log"
        self.sockets: Path | None = None  # the folder of its socket, when we started it

    def url(self, database: str) -> str:
        """Return the URL of a database on the running server."""
        lines = self._ready()
        if lines is None:
            raise DatabaseUnavailableError(f"the database server in {self.path} has stopped: start again")
        port, folder = lines[3:5]
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(folder)}&port={port}"

    def others(self) -> list[str]:
        """Return the names of the other clusters in DATA_DIR."""
        names = {path.name for path in self.data_dir.iterdir() if path.is_dir()} - {self.path.name}
        return sorted(name for name in names if re.fullmatch(r"(system|wheel)-\d+(-postgres)?", name))

    @contextmanager
    def running(self) -> Iterator[str]:
        """Have the server accept connections until the block ends; yield how that came about."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.lock_path.open("a") as lock:
            if not self._own_or_attach(lock):
                yield "attached to the server of the process that owns it"
                return
            account = self._make()
            try:
                self._bring_up(account)
                yield "started" if self.sockets else "adopted from an owner that was killed"
            finally:
                self._stop(account)

    def prepare_database(self, name: str) -> None:
        """Create the database when it is missing; bring its TimescaleDB to the installed version."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not connection.execute(query, [name]).fetchone():
                create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):  # the other opener was first
                    connection.execute(create)
        if self.installation.timescaledb:
            # Must be the first command of its session: any other loads the old version's module.
            with (
                suppress(errors.UndefinedObject),
                psycopg.connect(self.url(name), autocommit=True) as connection,
            ):
                connection.execute("ALTER EXTENSION timescaledb UPDATE")

    def _own_or_attach(self, lock: IO[str]) -> bool:
        """Wait until we hold the lock (True), or its holder's server accepts connections (False)."""
        owner = False

        def settled() -> bool:
            nonlocal owner
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                owner = True
            return owner or self._ready() is not None

        if not _wait_until(settled, ATTACH_SECONDS):
            raise DatabaseUnavailableError(
                f"another process holds {self.lock_path}, but its database did not accept connections "
                f"within {ATTACH_SECONDS:.0f} s: stop that process, or set another DATA_DIR"
            )
        return owner

    def _bring_up(self, account: Account) -> None:
        """Start the server, unless one is left running, and wait until it accepts connections."""
        if self.log_path.exists() and self._postmaster() is None:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))

        def ready() -> bool:
            if self._postmaster() is None:
                self._start(account)
            return self._ready() is not None

        if not _wait_until(ready, START_SECONDS):
            message = f"PostgreSQL accepts no connections after {START_SECONDS:.0f} s."
            raise DatabaseUnavailableError(f"{message}{self._log_tail()}")

    def _make(self) -> Account:
        """Make the cluster when it is missing, whole or not at all; return whose it is."""
        for half in self.data_dir.glob(f".{self.path.name}.*"):
            shutil.rmtree(half, ignore_errors=True)
        account = owner_of(self.path) if self.path.exists() else account_of_servers()
        account.grant_traverse(self.path)
        account.grant_traverse(self.installation.bindir / "postgres")
        if self.installation.origin == "wheel":
            account.grant_wheel(self.installation.bindir.parent)
        if self.path.exists():
            return account
        log.info("making the database in %s", self.path)
        half = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.data_dir))
        account.chown(half)
        for locale in ("C.UTF-8", "C"):
            done = subprocess.run(
                [
                    *(self.installation.bindir / "initdb", "--pgdata", half, "--username=postgres"),
                    *("--encoding=UTF8", f"--locale={locale}", "--lc-messages=C", "--data-checksums"),
                    *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
                ],
                **account.process_options() | {"capture_output": True, "text": True, "errors": "replace"},
            )
            if done.returncode == 0:
                half.rename(self.path)
                _sync(self.data_dir)
                return account
        shutil.rmtree(half, ignore_errors=True)
        raise DatabaseUnavailableError(f"initdb could not make {self.path}: {done.stderr.strip()}")

    def _configure(self, account: Account, sockets: Path) -> None:
        memory_mb = _memory_bytes() // 2**20
        values = {
            "listen_addresses": "",
            "port": SOCKET_NAME.rpartition(".")[2],
            "unix_socket_directories": f'"{sockets}"',
            "unix_socket_permissions": "0700",
            "shared_buffers": f"{min(max(memory_mb // 4, 128), 4096)}MB",
            "effective_cache_size": f"{max(memory_mb // 2, 256)}MB",
        }
        if self.installation.timescaledb:
            values |= {
                "shared_preload_libraries": "timescaledb",
                "timescaledb.telemetry_level": "off",
                "timescaledb.max_background_workers": "8",
                "max_worker_processes": "20",
            }
        lines = [
            "# Written at each start; settings of your own last with ALTER SYSTEM.",
            SERVER_CONF.read_text(),
        ]
        for name, value in values.items():
            escaped = value.replace("\\", "\\\\").replace("'", "''")
            lines.append(f"{name} = '{escaped}'")
        self._write(account, "postgresql.conf", "\n".join([*lines, ""]))

    def _write(self, account: Account, name: str, text: str) -> None:
        # Beside it and moved in: as root, never write through a name that the server's user controls.
        draft = self.data_dir / f".{self.path.name}-{name}"
        draft.write_bytes(os.fsencode(text))
        account.chown(draft)
        draft.replace(self.path / name)

    def _make_sockets(self, account: Account) -> Path:
        """Make the folder of the socket: short, private, and ours even in a shared /tmp."""
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"ev-engine-{account.uid}-{digest}").absolute()
        if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_LIMIT:
            # Its owner is checked below.
            folder = Path("/tmp", folder.name)  # noqa: S108  # nosec B108
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            account.chown(folder)
        status = folder.lstat()
        if not S_ISDIR(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
            raise DatabaseUnavailableError(
                f"{folder} is not a private folder of the database's user: remove it, or set TMPDIR"
            )
        account.grant_traverse(folder)
        self.sockets = folder
        return folder

    def _start(self, account: Account) -> None:
        sockets = self._make_sockets(account)
        self._configure(account, sockets)
        stale = self._pid_file()
        if stale and "postgres" not in command_line(int(stale[0])):
            # After a crash that number may belong to any program, or to a server that nobody has reaped, and the new
            # server would refuse to start. It ignores the number of pg_ctl's parent, and still checks that nobody uses
            # the shared memory.
            (sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
            self._write(account, "postmaster.pid", "\n".join([str(os.getpid()), *stale[1:], ""]))
        # pg_ctl would hand the path to a shell as it is; the command line is what _postmaster looks for.
        options = f"-D {shlex.quote(str(self.path))}"
        # A killed server's children need a moment to go; until then its memory is in use.
        if not self._pg_ctl(account, START_SECONDS, "start", "-o", options) and (
            "shared memory block" not in self._log_tail()
        ):
            raise DatabaseUnavailableError(f"PostgreSQL did not start.{self._log_tail()}")

    def _stop(self, account: Account) -> None:
        """Stop this cluster's server and no other process; disconnect clients, lose nothing committed."""
        sockets = self.sockets or next(map(Path, self._pid_file()[4:5]), None)
        for mode, seconds in STOP_SECONDS.items():
            if self._postmaster() is not None:
                self._pg_ctl(account, seconds, "stop", f"--mode={mode}")
        if self._postmaster() is not None:
            log.error("the database server in %s does not stop; the next start adopts it", self.path)
        elif sockets is not None:
            with suppress(OSError):
                sockets.rmdir()

    def _pg_ctl(self, account: Account, seconds: float, *arguments: str) -> bool:
        """Have pg_ctl start or stop the server and wait for it; return whether that came about in time."""
        options = account.process_options()
        options["env"]["PGDATA"] = str(self.path)
        with self.log_path.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal must not end it before the service has committed.
            done = subprocess.run(
                [self.installation.bindir / "pg_ctl", *arguments, "--silent", "--wait", f"--timeout={seconds:.0f}"],
                **options,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return done.returncode == 0

    def _pid_file(self) -> list[str]:
        """Return the lines of postmaster.pid: pid, data directory, -, port, socket folder, -, -, status."""
        with suppress(OSError):
            lines = os.fsdecode((self.path / "postmaster.pid").read_bytes()).splitlines()
            if lines and lines[0].isdigit():
                return lines
        return []

    def _postmaster(self) -> int | None:
        """Return the process of this cluster's server, or None when there is none."""
        lines = self._pid_file()
        if lines[1:2] == [str(self.path)] and command_line(int(lines[0])).endswith(f"postgres -D {self.path}"):
            return int(lines[0])
        return None

    def _ready(self) -> list[str] | None:
        """Return postmaster.pid's lines once the server accepts connections."""
        lines = self._pid_file()
        return lines if lines[7:] and lines[7].strip() == "ready" and self._postmaster() else None

    def _log_tail(self) -> str:
        with suppress(OSError):
            lines = self.log_path.read_text(errors="replace").splitlines()[-8:]
            return "\n".join([f" Its log {self.log_path} ends:", *lines])
        return ""


def _memory_bytes() -> int:
    """Return the machine's memory, or the container's when that is less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def command_line(pid: int) -> str:
    """Return the command line of a process, or nothing when it is gone or waits to be reaped."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0").replace(b"\0", b" "))
        return ""
    return output("ps", "-ww", "-o", "command=", "-p", str(pid)) or ""


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _sync(folder: Path) -> None:
    """Make a rename in the folder durable; os.sync() would wait for all that the machine has yet to write."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
