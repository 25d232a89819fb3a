"""Problem documents (RFC 9457): the answers that errors become, counted and logged.

Litestar's ProblemDetails plugin is not smaller: its converters would only call what stands here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from msgspec import Meta

from service.errors import EngineError, InvalidRequestError
from service.http.request import AnyRequest
from service.http.validation import describe_validation_error
from service.logs import REQUEST_ID_HEADER, RateLimitedLogger, request_id

log = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 describes it; `field` is the part of the request that is wrong."""

    title: Annotated[str, Meta(description="HTTP status in words")]
    status: Annotated[int, Meta(description="HTTP status")]
    type: Annotated[str, Meta(description="Kind of problem")] = "about:blank"
    detail: Annotated[str | None, Meta(description="What is wrong and what to do")] = None
    field: Annotated[str | None, Meta(description="Field of the request that is wrong")] = None


class ProblemAnswers:
    """Answers errors with problems; `count` hears of the HTTP status of each."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._unavailable = RateLimitedLogger(log, "answered 503")

    def handlers(self) -> ExceptionHandlersMap:
        """Return the exception handlers of an application."""
        return {EngineError: self._of_engine, HTTPException: self._of_http, Exception: self._of_fault}

    def _of_engine(self, request: AnyRequest, error: EngineError) -> Response[bytes]:
        field = error.field if isinstance(error, InvalidRequestError) else None
        detail = f"{field} {error}" if field else str(error)
        return self._answer(request, error.status, detail, field, headers=error.headers)

    def _of_http(self, request: AnyRequest, error: HTTPException) -> Response[bytes]:
        if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
            first = error.extra[0]
            _, reason = describe_validation_error(msgspec.ValidationError(first.get("message")))
            return self._answer(request, HTTPStatus.BAD_REQUEST, f"{first.get('key')} {reason}", first.get("key"))
        if error.status_code == HTTPStatus.NOT_FOUND:
            return self._answer(request, error.status_code, "there is no such address: /api/docs lists every call")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = _allowed(request)
            detail = f"{request.method} is not known here: this address takes {allowed}"
            return self._answer(request, error.status_code, detail, headers={"Allow": allowed})
        return self._answer(request, error.status_code, error.detail if error.status_code < 500 else None)

    def _of_fault(self, request: AnyRequest, error: Exception) -> Response[bytes]:
        detail = "the service failed; its log says why"
        return self._answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail, cause=error)

    def _answer(
        self,
        request: AnyRequest,
        status: int,
        detail: str | None,
        field: str | None = None,
        cause: Exception | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        self._count(status)
        headers = dict(headers or {}) | {REQUEST_ID_HEADER: request_id(request.headers.get(REQUEST_ID_HEADER))}
        context: dict[str, object] = {
            "request_id": headers[REQUEST_ID_HEADER],
            "method": request.method,
            "path": request.scope["path"],
            "status": int(status),
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._unavailable.warning(detail or "", context)
        elif status >= 500:
            log.error("%s %s failed", request.method, request.scope["path"], exc_info=cause, extra=context)
        else:
            log.debug("%s %s: %s %s", request.method, request.scope["path"], int(status), detail, extra=context)
        problem = Problem(title=HTTPStatus(status).phrase, status=int(status), detail=detail, field=field)
        return Response(
            msgspec.json.encode(problem),
            status_code=int(status),
            media_type="application/problem+json",
            headers=headers,
        )


def _allowed(request: AnyRequest) -> str:
    """Return the methods that a path has, for the Allow field."""
    methods: set[str] = set()
    for route in request.app.routes:
        parts = [re.escape(part) if isinstance(part, str) else "[^/]+" for part in route.path_components]
        if re.fullmatch("/" + "/".join(parts) + "/?", request.scope["path"]):
            methods.update(route.methods)
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))
