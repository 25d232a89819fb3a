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
    """The user that the server runs as: the current user, or another one for root, as PostgreSQL refuses root."""

    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """Return the options that run a subprocess as this user, with few variables of the environment."""
        kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
        options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": environment}
        if os.geteuid() == 0:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def chown(self, path: Path) -> None:
        """Make this user the owner of a path; only root can."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def grant_traverse(self, path: Path) -> None:
        """Let this user pass through the folders above a path, which may be closed to it when root made them."""
        if os.geteuid() != 0:
            return
        for folder in reversed(path.parents):
            status = folder.stat()
            bit = 0o100 if status.st_uid == self.uid else 0o010 if status.st_gid == self.gid else 0o001
            if not status.st_mode & bit:
                folder.chmod(S_IMODE(status.st_mode) | bit)
                log.warning("%s: let the database's user pass through (chmod +x for it, not to read)", folder)

    def grant_wheel(self, root: Path) -> None:
        """Let this user read the wheel's PostgreSQL and its libraries, which the umask of root may have closed."""
        if os.geteuid() != 0 or (root / "bin" / "postgres").stat().st_mode & 0o005 == 0o005:
            return
        log.warning("%s: let the database's user read it (chmod o+rX)", root)
        libraries = root.parent.with_name(f"{root.parent.name}.libs")
        output("chmod", "-R", "o+rX", *(folder for folder in (root, libraries) if folder.exists()))


def owner_of(path: Path) -> Account:
    """Return the owner of a path."""
    status = path.stat()
    return Account(status.st_uid, status.st_gid)


def account_of_servers() -> Account:
    """Return the user for a new server; root creates the user when it does not exist."""
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
