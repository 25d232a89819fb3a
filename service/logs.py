"""The log: lines for people on a terminal, JSON lines for machines, and no more of them than anybody can read."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import string
import sys
from datetime import UTC, datetime

from service.settings import Settings

REQUEST_ID_HEADER = "X-Request-ID"
_ID_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.:+/=")
_LONGEST_ID = 128
_QUIET_SECONDS = 10.0
# What a line may carry beside its message.
_EXTRAS = ("request_id", "method", "path", "status")


def configure(settings: Settings) -> None:
    """Send the process's log to stderr, as LOG_FORMAT says: JSON unless stderr is a terminal, by default."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # It tells of every statement; migrate() tells of every migration.
    logging.getLogger("yoyo").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, its traceback in a field."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: record.__dict__[name] for name in _EXTRAS if name in record.__dict__}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people; a request's id stands at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without its traceback."""
        request_id = record.__dict__.get("request_id")
        return super().formatMessage(record) + (f" [request {request_id}]" if request_id else "")


def is_sane_id(sent: str) -> bool:
    """Return whether a request's id can stand in a header and a log as it is."""
    return 0 < len(sent) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(sent)


def request_id(sent: str | None) -> str:
    """Return the id that the sender gave its request if it is sane, else a new one."""
    return sent if sent and is_sane_id(sent) else secrets.token_hex(8)


class RateLimitedLogger:
    """Logs the first of many similar warnings, and then their number every ten seconds while more arrive."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._held_back = 0
        self._latest = ""
        self._open = False

    def warning(self, reason: str, extra: dict[str, object]) -> None:
        """Log a warning, or count it when one was logged less than ten seconds ago; needs a running event loop."""
        if self._open:
            self._held_back += 1
            self._latest = reason
            return
        self._open = True
        self._log.warning("%s: %s", self._what, reason, extra=extra)
        asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._close)

    def _close(self) -> None:
        if not self._held_back:
            self._open = False
            return
        self._log.warning(
            "%s: %d more in %g s, the latest: %s", self._what, self._held_back, _QUIET_SECONDS, self._latest
        )
        self._held_back = 0
        asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._close)
