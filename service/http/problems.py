"""What errors become: problem documents (RFC 9457), counted and logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Meta

from service.errors import (
    DatabaseUnavailableError,
    EngineError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    SlowRequestError,
    TooLargeError,
    UnauthenticatedError,
    UnsupportedEncodingError,
)
from service.http.request import AnyRequest
from service.logs import REQUEST_ID_HEADER, Flood, request_id
from service.metrics.engine import Metrics
from service.telemetry.readings import explain

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "1"

_STATUS: dict[type[EngineError], HTTPStatus] = {
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    SlowRequestError: HTTPStatus.REQUEST_TIMEOUT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedEncodingError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as RFC 9457 has it; `field` is what it is about."""

    title: Annotated[str, Meta(description="HTTP status in words")]
    status: Annotated[int, Meta(description="HTTP status")]
    type: Annotated[str, Meta(description="Kind of problem")] = "about:blank"
    detail: Annotated[str | None, Meta(description="What is wrong and what to do")] = None
    field: Annotated[str | None, Meta(description="Field of the request that it is about")] = None


class Problems:
    """Turns errors into answers, counts them, and logs those that somebody should look at."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._flood = Flood(log, "answered 503")

    def of_engine(self, request: AnyRequest, error: EngineError) -> Response[bytes]:
        """Return the answer for an error of the engine itself."""
        status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        field = error.field if isinstance(error, InvalidRequestError) else None
        return self._answer(request, status, f"{field} {error}" if field else str(error), field, given=error.headers)

    def of_http(self, request: AnyRequest, error: HTTPException) -> Response[bytes]:
        """Return the answer for an error that the web framework found."""
        if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
            first = error.extra[0]
            _, reason = explain(msgspec.ValidationError(first.get("message")))
            return self._answer(request, HTTPStatus.BAD_REQUEST, f"{first.get('key')} {reason}", first.get("key"))
        detail = error.detail if error.status_code < 500 else None
        allow = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else None
        return self._answer(request, error.status_code, detail, given=allow)

    def unexpected(self, request: AnyRequest, error: Exception) -> Response[bytes]:
        """Return the answer for a fault of the service."""
        detail = "the service failed; its log says why"
        return self._answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail, cause=error)

    def _answer(
        self,
        request: AnyRequest,
        status: int,
        detail: str | None,
        field: str | None = None,
        cause: Exception | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        self._metrics.problem(status)
        headers = dict(given or {}) | {REQUEST_ID_HEADER: request_id(request.headers.get(REQUEST_ID_HEADER))}
        context: dict[str, object] = {
            "request_id": headers[REQUEST_ID_HEADER],
            "method": request.method,
            "path": request.scope["path"],
            "status": int(status),
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", _RETRY_AFTER_SECONDS)
            self._flood.tell(detail or "", context)
        elif status >= 500:
            log.error("%s %s failed", request.method, request.scope["path"], exc_info=cause, extra=context)
        else:
            log.debug("%s %s: %s %s", request.method, request.scope["path"], int(status), detail, extra=context)
        problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)
        return Response(
            msgspec.json.encode(problem), status_code=status, media_type="application/problem+json", headers=headers
        )


def _allowed(request: AnyRequest) -> str:
    """Return the methods that a path knows, as the Allow field tells them."""
    methods: set[str] = set()
    for route in request.app.routes:
        parts = [re.escape(part) if isinstance(part, str) else "[^/]+" for part in route.path_components]
        if re.fullmatch("/" + "/".join(parts) + "/?", request.scope["path"]):
            methods.update(route.methods)
    return ", ".join(sorted(methods))
