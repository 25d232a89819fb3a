"""The errors that the engine raises, each with what the caller should do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class EngineError(Exception):
    """Base of every error raised by the engine itself."""

    headers: Mapping[str, str] = MappingProxyType({})
    """Header fields that go with it when it becomes an HTTP answer."""


class SettingsError(EngineError):
    """An environment variable holds a value that cannot be used."""


class OperationError(EngineError):
    """An operator asked for what cannot be done; the message says what to do instead."""


class DatabaseUnavailableError(EngineError):
    """The database could not be reached, started or used in time; the same call may work later."""


class OverloadedError(EngineError):
    """More readings wait than may wait; the sender should come back later."""


class SlowRequestError(EngineError):
    """A request's body did not arrive in time."""


class InvalidReadingError(EngineError):
    """A reading breaks a rule of the contract; sending it again will not help."""


class InvalidRequestError(EngineError):
    """A request breaks a rule of the contract; `field` says where."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(EngineError):
    """The device, mapping or period asked for is not known."""


class TooLargeError(EngineError):
    """A request is larger than the contract allows."""


class UnsupportedEncodingError(EngineError):
    """A request body is encoded in a way that the service does not know."""


class UnauthenticatedError(EngineError):
    """A request carries no key, or one that is not good."""

    def __init__(self, message: str, *, presented: bool = False) -> None:
        super().__init__(message)
        error = ', error="invalid_token"' if presented else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="ev-engine"{error}'}


class ForbiddenError(EngineError):
    """A key is good, but not for this."""


class RateLimitedError(EngineError):
    """Too many requests from one address or with one key; `headers` say when to come back."""

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers
