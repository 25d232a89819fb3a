"""The user that a private server runs as."""

from __future__ import annotations

import logging
import os
import pwd
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE
from typing import Any

from service.database.installation import output
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """The user that the server runs as: oneself, except that PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """Return what makes a subprocess run as this user, without anything of our own environment."""
        kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
        options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": environment}
        if os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def own(self, path: Path) -> None:
        """Give it a path that we made."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def let_in(self, path: Path) -> None:
        """Let it pass through the folders above path; as root they may well be closed to it."""
        if os.geteuid() != 0:
            return
        for folder in reversed(path.parents):
            status = folder.stat()
            bit = 0o100 if status.st_uid == self.uid else 0o010 if status.st_gid == self.gid else 0o001
            if not status.st_mode & bit:
                folder.chmod(S_IMODE(status.st_mode) | bit)
                log.warning("%s: let the database's user pass through (chmod +x for it, not to read)", folder)

    def let_read_wheel(self, root: Path) -> None:
        """Let it read the wheel's PostgreSQL, which root's umask may have closed to it, and the libraries of that."""
        if os.geteuid() != 0 or (root / "bin" / "postgres").stat().st_mode & 0o005 == 0o005:
            return
        log.warning("%s: let the database's user read it (chmod o+rX)", root)
        libraries = root.parent.with_name(f"{root.parent.name}.libs")
        output("chmod", "-R", "o+rX", *(folder for folder in (root, libraries) if folder.exists()))


def owner_of(path: Path) -> Account:
    """Return whose a path is."""
    status = path.stat()
    return Account(status.st_uid, status.st_gid)


def account_of_servers() -> Account:
    """Return the user for a new server; as root, make one when there is none."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "ev-engine"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid)
    if output("useradd", "--system", "--user-group", "--no-create-home", "ev-engine") is None:
        raise DatabaseUnavailableError(
            "PostgreSQL does not run as root, and the user ev-engine could not be created: "
            "create a user named postgres, start as an ordinary user, or set DATABASE_URL"
        )
    log.warning("created the system user ev-engine: PostgreSQL does not run as root")
    user = pwd.getpwnam("ev-engine")
    return Account(user.pw_uid, user.pw_gid)
