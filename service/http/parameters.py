"""Parameters of a call: those in its query are known and come once, and ids in its path are ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from litestar import Litestar
from litestar.routes import HTTPRoute

from service.errors import InvalidRequestError
from service.http.ids import ids_in_path
from service.http.request import AnyRequest

Check = Callable[[AnyRequest], Awaitable[None]]

_QUERY = "query"
"""Option of a handler: the names of the parameters that its query may hold."""


def checked(guard: Check | None) -> Check:
    """Return a check of a request's parameters that follows the guard's; it raises InvalidRequestError."""

    async def check(request: AnyRequest) -> None:
        # Every heartbeat runs this. It has neither query nor parameters in its path.
        if guard is not None:
            await guard(request)
        scope = request.scope
        if scope["query_string"]:
            known = scope["route_handler"].opt.get(_QUERY)
            if known is not None:
                _check_query(scope["query_string"], known)
        if parameters := scope["path_params"]:
            _check_encoding(scope.get("raw_path") or b"")
            # The router keeps the parameters of a path and gives them to the next request for it: they are not changed.
            scope["path_params"] = ids_in_path(parameters)

    return check


def learn_queries(app: Litestar) -> None:
    """Note for each documented handler of an application which parameters its query may hold; pages may hold any."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, model) in route.route_handler_map.items():
            if method != "OPTIONS" and handler.resolve_include_in_schema():
                handler.opt[_QUERY] = sorted(parameter.field_alias for parameter in model.expected_query_params)


def _check_query(query: bytes, known: list[str]) -> None:
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequestError("query is not UTF-8: percent-encode the UTF-8 bytes of a text") from None
    seen = set()
    for name, _ in pairs:
        if name not in known:
            raise InvalidRequestError(f"is not known here: {_what_is_known(known)}", _shown(name))
        if name in seen:
            raise InvalidRequestError("must come once, and comes twice", name)
        seen.add(name)


def _what_is_known(known: list[str]) -> str:
    if not known:
        return "this call takes no parameters in its query"
    *others, last = known
    return f"this call takes {', '.join(others)} and {last}" if others else f"this call takes {last}"


def _shown(name: str) -> str:
    return name[:64] if name.isprintable() and name else repr(name[:64])


def _check_encoding(raw_path: Any) -> None:
    if b"%" in raw_path:
        try:
            unquote_to_bytes(raw_path).decode()
        except UnicodeDecodeError:
            raise InvalidRequestError("path is not UTF-8: percent-encode the UTF-8 bytes of an id") from None
