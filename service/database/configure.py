"""Hands settings to the database when the service starts: those that SQL shares, and the password of the analyst."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
from psycopg import Connection

from service.database.migrate import connect
from service.errors import SettingsError
from service.settings import Settings


def apply_settings(url: str, settings: Settings) -> None:
    """Hand the thresholds to the database, where HTTP and SQL share them, and role analyst its password if given."""
    with connect(url) as connection, connection.transaction():
        connection.execute(
            "SELECT engine.apply_settings(%s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s), %s::text, %s)",
            [
                *map(
                    _as_typed,
                    (
                        settings.efficiency_excellent,
                        settings.efficiency_warning,
                        settings.efficiency_critical,
                        settings.battery_temp_warning,
                        settings.battery_temp_critical,
                        settings.voltage_min,
                        settings.voltage_max,
                    ),
                ),
                settings.offline_after_seconds,
                settings.fleet_timezone,
                _as_typed(settings.max_plausible_kw),
            ],
        )
        # The row of settings is locked by now: of several services that start, one at a time changes the role.
        if settings.analyst_password:
            set_analyst_password(connection, settings.analyst_password)


def set_analyst_password(connection: Connection[Any], password: str) -> None:
    """Give role analyst a password, hashed here: the database never sees it.

    Raise SettingsError when the connection's user may not do that.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), b"analyst", b"scram-sha-256").decode()
    try:
        connection.execute("SELECT engine.set_analyst_password(%s)", [verifier])
    except psycopg.errors.InsufficientPrivilege:
        raise SettingsError(
            "ANALYST_PASSWORD is not usable: the database's user may not give role analyst a password; "
            "unset it, and have an administrator do that"
        ) from None


def _as_typed(value: float) -> Decimal:
    """Return a threshold as the environment wrote it: 0.85 is less than that in binary."""
    return Decimal(f"{value:.15g}")
