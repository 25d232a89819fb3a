"""What a failure of the database means: the one place where psycopg's errors become the engine's."""

from __future__ import annotations

import psycopg
from psycopg import errors

from service.errors import (
    DatabaseUnavailableError,
    EngineError,
    InvalidReadingError,
    InvalidRequestError,
    OperationError,
    SchemaOutdatedError,
)

_MISSING = (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName)


def describe(error: BaseException, *, with_hint: bool = False) -> str:
    """Return a failure in one line: the server's own message where it sent one, else the driver's."""
    text, hint = str(error), None
    if isinstance(error, psycopg.Error):
        text, hint = error.diag.message_primary or text, error.diag.message_hint
    line = text.strip().partition("\n")[0] or type(error).__name__
    return f"{line} ({hint})" if hint and with_hint else line


def unavailable(error: Exception) -> DatabaseUnavailableError:
    """Return the error of a database that cannot be used now."""
    return SchemaOutdatedError() if isinstance(error, _MISSING) else DatabaseUnavailableError(describe(error))


def cannot_connect(error: Exception) -> DatabaseUnavailableError:
    """Return the error of a failed attempt to connect."""
    return DatabaseUnavailableError(f"cannot connect to the database: {describe(error)}")


def of_question(error: Exception) -> EngineError:
    """Return the error of a failed question: an argument may be wrong, such as an id with a NUL character."""
    return InvalidRequestError(describe(error)) if isinstance(error, psycopg.DataError) else unavailable(error)


def of_ingest(error: Exception) -> EngineError:
    """Return the error of a failed commit: a reading may be wrong."""
    if isinstance(error, (psycopg.DataError, psycopg.IntegrityError)):
        return InvalidReadingError(describe(error))
    return unavailable(error)


def of_command(error: psycopg.Error) -> EngineError:
    """Return the error of an operator's command, with the hint that the server gives."""
    return SchemaOutdatedError() if isinstance(error, _MISSING) else OperationError(describe(error, with_hint=True))
