"""Targets: the receivers of notices, through Apprise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apprise import Apprise

_TYPES = {"info": "info", "warning": "warning", "critical": "failure", "cleared": "success"}


@dataclass(frozen=True)
class Notice:
    """What a target is told."""

    severity: str
    title: str
    body: str


class Target:
    """A receiver of notices, named by a URL in Apprise's notation."""

    def __init__(self, url: str) -> None:
        # Apprise takes a while to import, and most services have no target.
        import apprise

        self._apprise: Apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise ValueError("is no URL that Apprise knows")
        # The URL may hold a password: the database gets a digest of it.
        self.name = f"{url.partition('://')[0]} {hashlib.sha256(url.encode()).hexdigest()[:12]}"

    def send(self, notice: Notice) -> str | None:
        """Send a notice and wait for the receiver's answer, some seconds at most; return why it failed, else None."""
        import apprise

        with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
            taken = self._apprise.notify(
                body=notice.body,
                title=notice.title,
                notify_type=apprise.NotifyType(_TYPES[notice.severity]),
                body_format=apprise.NotifyFormat.TEXT,
            )
            if taken:
                return None
            return said.getvalue().strip()[:500] or "the receiver did not take the notice"
