"""What the commands share: settings, the log, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from service import logs
from service.errors import EngineError
from service.settings import Settings


def start() -> Settings:
    """Return the settings from the environment, with the log going where they say."""
    settings = Settings.from_environment()
    logs.configure(settings)
    return settings


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn the engine's own errors into one line and exit status 1; a block, or a decorator of a command."""
    try:
        yield
    except EngineError as error:
        raise click.ClickException(str(error)) from error
