"""An operator's session on the database: what goes wrong becomes one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from service.errors import DatabaseUnavailableError, OperationError

_OPTIONS = "-c timezone=UTC -c lock_timeout=60s -c application_name=ev-engine-operations"


@contextmanager
def open_session(url: str, options: str = "") -> Iterator[Connection[Any]]:
    """Connect in autocommit; what the database refuses inside raises OperationError with its first line.

    `options` are settings of the session in libpq's form.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, options=f"{_OPTIONS} {options}", connect_timeout=10)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot connect to the database: {_first_line(error)}") from None
    with connection:
        try:
            yield connection
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
            raise OperationError("the database holds no engine of this version: run make migrate first") from error
        except psycopg.Error as error:
            raise OperationError(_first_line(error)) from error


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    hint = error.diag.message_hint
    return f"{text} ({hint})" if hint else text
