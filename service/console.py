"""What the commands share: settings, the log, and errors as one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from service import logs
from service.errors import EngineError
from service.settings import Settings


def start() -> Settings:
    """Return the settings from the environment, with the log going where they say."""
    settings = Settings.from_environment()
    logs.configure(settings)
    return settings


def clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the engine's own errors into one line and exit status 1."""

    @wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except EngineError as error:
            raise click.ClickException(str(error)) from error

    return wrapped
