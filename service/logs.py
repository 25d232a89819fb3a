"""The log: text on a terminal, JSON lines for machines, with a rate limit for repeated warnings."""

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
# Fields of a request that a line may have beside its message.
_EXTRAS = ("request_id", "method", "path", "status")


def configure(settings: Settings) -> None:
    """Write the log of the process to stderr, as LOG_FORMAT says; `auto` writes JSON unless stderr is a terminal."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # yoyo logs every statement; migrate() logs every migration.
    logging.getLogger("yoyo").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message, process, and the fields of its request."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; its traceback is a field."""
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
    """Formats a record as a line for people, with the id of its request at the end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without its traceback."""
        request_id = record.__dict__.get("request_id")
        return super().formatMessage(record) + (f" [request {request_id}]" if request_id else "")


def is_sane_id(sent: str) -> bool:
    """Return whether the id of a request may appear unchanged in a header and in the log."""
    return 0 < len(sent) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(sent)


def request_id(sent: str | None) -> str:
    """Return the id that the sender gave its request when it is sane, else a new id."""
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
