"""HEAD: what answers GET answers it too, without the body."""

from __future__ import annotations

from collections.abc import Awaitable

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def serve_head(app: Litestar) -> None:
    """Have an application answer HEAD wherever it answers GET: the same status and header fields, and no body."""
    app.asgi_handler = _with_head(app.asgi_handler)


def _with_head(app: ASGIApp) -> ASGIApp:
    # No coroutine of its own: every request passes here.
    def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope.get("method") == "HEAD":
            scope["method"] = "GET"  # type: ignore[typeddict-unknown-key]
            send = _without_body(send)
        return app(scope, receive, send)

    return handle


def _without_body(send: Send) -> Send:
    """Return a `send` that ends the answer with its first body, however many follow: a stream has no end."""
    ended = False

    async def send_head(message: Message) -> None:
        nonlocal ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head
