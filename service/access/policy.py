"""Whether keys are asked for, and what must hold before the service may start."""

from __future__ import annotations

import ipaddress
import logging

import psycopg

from service.database.pool import SERVICE_ROLE
from service.errors import DatabaseUnavailableError, SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)


def only_from_here(settings: Settings) -> bool:
    """Return whether only this machine can call: a loopback address, and no proxy in front of it."""
    if settings.trusted_proxies:
        return False
    if settings.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(settings.host.strip("[]")).is_loopback
    except ValueError:
        return False


def asks_for_keys(settings: Settings) -> bool:
    """Return whether requests need a key: AUTH on or off says so; auto asks for keys unless only this machine calls."""
    return settings.auth == "on" or (settings.auth == "auto" and not only_from_here(settings))


def check_start(settings: Settings, database_url: str) -> None:
    """Say who is let in; raise SettingsError when the service must not start like this.

    That is: keys are needed and there is none, or this database user may not act as the service's role.
    """
    try:
        with psycopg.connect(
            database_url, autocommit=True, options=f"-c role={SERVICE_ROLE}", connect_timeout=10
        ) as connection:
            row = connection.execute("SELECT engine.has_keys()").fetchone()
    except psycopg.OperationalError as error:
        if SERVICE_ROLE in str(error):
            raise SettingsError(
                f"this database user may not act as role {SERVICE_ROLE}: as the owner of the database, run "
                f"`ev-engine migrate` and GRANT {SERVICE_ROLE} TO this user"
            ) from error
        raise DatabaseUnavailableError(f"cannot connect to the database: {error}") from error
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName) as error:
        raise SettingsError("the database's schema is not up to date: run `ev-engine migrate`") from error
    assert row is not None
    where = f"HOST={settings.host}" + (" behind TRUSTED_PROXIES" if settings.trusted_proxies else "")
    if not asks_for_keys(settings):
        if only_from_here(settings):
            log.info("open to everybody on this machine (AUTH=on asks for keys)")
        else:
            log.warning("AUTH=off and %s: whoever reaches it may read, send and change everything", where)
        return
    if not row[0]:
        cause = "AUTH=on" if settings.auth == "on" else where
        raise SettingsError(
            f"{cause} asks for keys, and there is none yet: create one with "
            "`ev-engine keys create --scope ingest --name NAME`, or let everybody in with AUTH=off"
        )
    log.info("asking for keys")
