"""Around every request: its duration, its headers by name, and the id that its sender gave it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Protocol

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.http.request import HEADERS
from service.logs import REQUEST_ID_HEADER, is_sane_id

_ID_HEADER = REQUEST_ID_HEADER.lower().encode()


class Histogram(Protocol):
    """Counts durations in seconds."""

    def observe(self, value: float) -> None:
        """Count one."""


class RequestMiddleware:
    """Makes the middleware, which costs a request about a microsecond.

    `durations` holds a histogram for each method and path template; a request to any other path is not measured.
    """

    def __init__(self, durations: Mapping[tuple[str, str], Histogram]) -> None:
        self._durations = durations

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the middleware around it."""
        durations = self._durations

        async def around(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            started = perf_counter()
            scope[HEADERS] = headers = dict(scope["headers"])  # type: ignore[literal-required]
            if sent := headers.get(_ID_HEADER):
                send = _with_id(send, sent.decode("latin-1"))
            try:
                await app(scope, receive, send)
            finally:
                if histogram := durations.get((str(scope["method"]), scope["path_template"])):
                    histogram.observe(perf_counter() - started)

        return around


def _with_id(send: Send, sent: str) -> Send:
    """Return a `send` that answers with the request's id; a problem carries its own already."""
    if not is_sane_id(sent):
        return send

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableScopeHeaders.from_message(message).setdefault(REQUEST_ID_HEADER, sent)
        await send(message)

    return send_with_id
