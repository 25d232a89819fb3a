"""Helpers that all commands share: settings, the log, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from service import logs
from service.errors import EngineError
from service.settings import Settings


def start() -> Settings:
    """Return the settings from the environment, and configure the log as they say."""
    settings = Settings.from_environment()
    logs.configure(settings)
    return settings


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print an error of the engine as one line and exit with status 1; use it as a block or as a decorator."""
    try:
        yield
    except EngineError as error:
        raise click.ClickException(str(error)) from error
