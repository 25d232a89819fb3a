"""The errors of the engine: for each, the HTTP status that it becomes and what that status means to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import ClassVar


class EngineError(Exception):
    """Base of every error that the engine raises; its message says what to do."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    meaning: ClassVar[str] = ""
    """What the OpenAPI document says about the status."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Header fields of the HTTP answer."""


class SettingsError(EngineError):
    """An environment variable, or the database's user, does not allow what the settings ask for."""


class OperationError(EngineError):
    """An operator asked for something impossible."""


class InvalidReadingError(EngineError):
    """The database cannot store a reading; sending it again does not help."""


class InvalidRequestError(EngineError):
    """A request breaks a rule of the contract; `field` names the part that does."""

    status = HTTPStatus.BAD_REQUEST
    meaning = "The request breaks a rule; the problem names the field and the reason"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UnauthenticatedError(EngineError):
    """A request carries no key, or one that is not valid."""

    status = HTTPStatus.UNAUTHORIZED
    meaning = "The request carries no valid key (only where keys are required)"

    def __init__(self, message: str, *, presented: bool = False) -> None:
        super().__init__(message)
        error = ', error="invalid_token"' if presented else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="ev-engine"{error}'}


class ForbiddenError(EngineError):
    """A key is valid, but does not allow this request."""

    status = HTTPStatus.FORBIDDEN
    meaning = "The key does not have the scope, or is bound to other devices"


class NotFoundError(EngineError):
    """The engine does not know the device, mapping or period."""

    status = HTTPStatus.NOT_FOUND
    meaning = "The engine does not know the device, mapping or period"


class SlowRequestError(EngineError):
    """A request's body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    meaning = "The body did not arrive in time"


class TooLargeError(EngineError):
    """A request is larger than the contract allows."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    meaning = "The body has more than 16 MiB or 50,000 readings"


class UnsupportedEncodingError(EngineError):
    """A request's body has an encoding that the service does not know."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    meaning = "The service does not know this Content-Encoding"


class RateLimitedError(EngineError):
    """One address or one key sent too many requests; `headers` say when to come back."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    meaning = "The key or the address sent too many requests; come back after Retry-After seconds"

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class UnavailableError(EngineError):
    """The service cannot do this now; the same request may work later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    meaning = "The service is overloaded or cannot use its database; come back after Retry-After seconds"
    headers = MappingProxyType({"Retry-After": "1"})


class OverloadedError(UnavailableError):
    """Too much waits already."""


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached or started, or did not answer in time."""


class SchemaOutdatedError(DatabaseUnavailableError):
    """The database lacks tables or functions that this service calls."""

    def __init__(self) -> None:
        super().__init__("the database's schema is not up to date: run `ev-engine migrate`")


MEANINGS = {int(kind.status): kind.meaning for kind in EngineError.__subclasses__() if kind.meaning}
"""What each HTTP status means."""
