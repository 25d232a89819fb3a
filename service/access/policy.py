"""Whether requests need a key, and the checks before the service starts."""

from __future__ import annotations

import ipaddress
import logging

from service.database.pool import SERVICE_ROLE
from service.database.session import open_session
from service.errors import DatabaseUnavailableError, SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)


def is_local_only(settings: Settings) -> bool:
    """Return whether only this machine can call: the address is a loopback one, and no proxy passes requests on."""
    if settings.trusted_proxies:
        return False
    if settings.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(settings.host.strip("[]")).is_loopback
    except ValueError:
        return False


def requires_keys(settings: Settings) -> bool:
    """Return whether requests need a key, as AUTH says; `auto` requires keys unless only this machine can call."""
    return settings.auth == "on" or (settings.auth == "auto" and not is_local_only(settings))


def check_start(settings: Settings, database_url: str) -> None:
    """Log who may call; raise SettingsError when the service must not start.

    It must not when it requires keys and there is none, or when this database user may not act as the service's role.
    """
    try:
        with open_session(database_url, f"-c role={SERVICE_ROLE}") as session:
            row = session.execute("SELECT engine.has_keys()").fetchone()
    except DatabaseUnavailableError as error:
        if SERVICE_ROLE in str(error.__cause__):
            raise SettingsError(
                f"this database user may not act as role {SERVICE_ROLE}: as the owner of the database, run "
                f"`ev-engine migrate` and GRANT {SERVICE_ROLE} TO this user"
            ) from error
        raise
    assert row is not None
    where = f"HOST={settings.host}" + (" behind TRUSTED_PROXIES" if settings.trusted_proxies else "")
    if not requires_keys(settings):
        if is_local_only(settings):
            log.info("everybody on this machine may call without a key (AUTH=on requires keys)")
        else:
            log.warning("AUTH=off and %s: everybody who reaches the service may read, send and change all", where)
        return
    if not row[0]:
        cause = "AUTH=on" if settings.auth == "on" else where
        raise SettingsError(
            f"{cause} requires keys, and there is none yet: create one with "
            "`ev-engine keys create --scope ingest --name NAME`, or set AUTH=off to let everybody call"
        )
    log.info("requests need a key")
