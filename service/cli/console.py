"""Helpers that all commands share: settings, the log, and errors as one line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from service import logs
from service.errors import EngineError
from service.settings import Settings, names_without_setting

log = logging.getLogger(__name__)


def start() -> Settings:
    """Return the settings from the environment, and configure the log as they say.

    Warn about names in `.env` that no setting has: make reads that file, and such a line changes nothing.
    """
    settings = Settings.from_environment()
    logs.configure(settings)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for sentence in names_without_setting(Path(".env").read_text()):
            log.warning("%s", sentence)
    return settings


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print an error of the engine as one line and exit with status 1; use it as a block or as a decorator."""
    try:
        yield
    except EngineError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def needs_simulator() -> Iterator[None]:
    """Say in one line how to get the extra `simulate` when an import in the block needs it and it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the simulator needs {error.name}, which is not installed: run `make simulate` or `make demo`, "
            "or install the packages of requirements-simulate.txt"
        ) from None
