"""A session of a command line: it waits, and its failures become one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from service.database.failures import cannot_connect, of_command

_OPTIONS = "-c timezone=UTC -c lock_timeout=60s -c application_name=ev-engine-operations"


@contextmanager
def open_session(url: str, options: str = "") -> Iterator[Connection[Any]]:
    """Connect in autocommit.

    `options` are settings of the session in libpq's form. Raises DatabaseUnavailableError when the connection fails,
    SchemaOutdatedError or OperationError for what fails inside the block.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, options=f"{_OPTIONS} {options}", connect_timeout=10)
    except psycopg.OperationalError as error:
        raise cannot_connect(error) from error
    with connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise of_command(error) from error
