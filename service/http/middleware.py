"""Around every request: its duration, its headers by name, and the id that its sender gave it."""

from __future__ import annotations

from time import perf_counter

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.http.request import HEADERS
from service.logs import REQUEST_ID_HEADER, is_sane_id
from service.metrics.engine import Metrics

_ID_HEADER = REQUEST_ID_HEADER.lower().encode()


class Watch:
    """Makes the middleware; what it adds to a request is about a microsecond."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.requests

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, watched."""
        histograms = self._requests

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
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
                if histogram := histograms.get((str(scope["method"]), scope["path_template"])):
                    histogram.observe(perf_counter() - started)

        return watched


def _with_id(send: Send, sent: str) -> Send:
    """Return `send`, answering with the id of the request; problems carry theirs already."""
    if not is_sane_id(sent):
        return send

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableScopeHeaders.from_message(message).setdefault(REQUEST_ID_HEADER, sent)
        await send(message)

    return send_with_id
