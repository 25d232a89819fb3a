"""Settings of the service, read once from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from service.errors import SettingsError


def _number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
            fits = low <= value <= high  # a decimal NaN cannot even be compared
        except (ValueError, InvalidOperation):
            raise ValueError("must be a number" if kind is not int else "must be a whole number") from None
        if not fits:
            raise ValueError(f"must be between {low:g} and {high:g}")
        return value

    return parse


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return parse


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except Exception:
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
    return text


def _switch(text: str) -> bool:
    return _choice("on", "off")(text) == "on"


def _database(text: str) -> str:
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("must be a URL such as postgresql://user:password@host:5432/name") from None
    return text


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.5,10.1.0.0/16, with commas between") from None


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(","))
    if not all(re.fullmatch(r"\*|https?://[^/\s*]+", origin) for origin in origins):
        raise ValueError("must be origins such as https://dash.example.com, with commas between, or *")
    return origins


def _setting(variable: str, default: Any, parse: Callable[[str], Any] = str) -> Any:
    return field(default=default, metadata={"variable": variable, "parse": parse})


_ratio = _number(Decimal, 0, 1)
_celsius = _number(Decimal, -60, 150)
_volts = _number(Decimal, 0, 1000)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be configured; each field names its environment variable."""

    host: str = _setting("HOST", "127.0.0.1")
    port: int = _setting("PORT", 3000, _number(int, 1, 65535))
    workers: int = _setting("WORKERS", 1, _number(int, 1, 64))
    log_level: str = _setting("LOG_LEVEL", "info", _choice("debug", "info", "warning", "error"))

    log_format: str = _setting("LOG_FORMAT", "auto", _choice("auto", "json", "text"))
    auth: str = _setting("AUTH", "auto", _choice("auto", "on", "off"))
    metrics_open: bool = _setting("METRICS_OPEN", False, _switch)
    key_rate_limit: float = _setting("KEY_RATE_LIMIT", 1000.0, _number(float, 0.1, 1_000_000))
    address_rate_limit: float = _setting("ADDRESS_RATE_LIMIT", 1000.0, _number(float, 0.1, 1_000_000))
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting("TRUSTED_PROXIES", (), _networks)
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", (), _origins)

    database_url: str | None = _setting("DATABASE_URL", None, _database)
    database_read_url: str | None = _setting("DATABASE_READ_URL", None, _database)
    db_host: str | None = _setting("DB_HOST", None)
    db_port: int = _setting("DB_PORT", 5432, _number(int, 1, 65535))
    db_username: str = _setting("DB_USERNAME", "postgres")
    db_password: str = _setting("DB_PASSWORD", "postgres")
    db_name: str = _setting("DB_NAME", "ev_ingestion")
    analyst_password: str | None = _setting("ANALYST_PASSWORD", None)
    db_pool_min: int = _setting("DB_POOL_MIN", 10, _number(int, 1, 1000))
    db_pool_max: int = _setting("DB_POOL_MAX", 100, _number(int, 1, 1000))
    data_dir: Path = _setting("DATA_DIR", Path(".data"), Path)
    edition: str = _setting("EDITION", "auto", _choice("auto", "timescale", "postgres"))
    embedded_postgres: str = _setting("EMBEDDED_POSTGRES", "auto", _choice("auto", "system", "wheel"))

    ingest_writers: int = _setting("INGEST_WRITERS", 2, _number(int, 1, 64))
    ingest_batch_readings: int = _setting("INGEST_BATCH_READINGS", 10_000, _number(int, 1, 1_000_000))
    ingest_queue_readings: int = _setting("INGEST_QUEUE_READINGS", 200_000, _number(int, 1, 10_000_000))
    request_timeout_seconds: float = _setting("REQUEST_TIMEOUT_SECONDS", 15.0, _number(float, 0.1, 600))
    fleet_cache_seconds: float = _setting("FLEET_CACHE_SECONDS", 5.0, _number(float, 0, 60))

    efficiency_excellent: Decimal = _setting("EFFICIENCY_EXCELLENT_THRESHOLD", Decimal("0.92"), _ratio)
    efficiency_warning: Decimal = _setting("EFFICIENCY_WARNING_THRESHOLD", Decimal("0.85"), _ratio)
    efficiency_critical: Decimal = _setting("EFFICIENCY_CRITICAL_THRESHOLD", Decimal("0.75"), _ratio)
    battery_temp_warning: Decimal = _setting("BATTERY_TEMP_WARNING", Decimal("45"), _celsius)
    battery_temp_critical: Decimal = _setting("BATTERY_TEMP_CRITICAL", Decimal("55"), _celsius)
    voltage_min: Decimal = _setting("VOLTAGE_MIN", Decimal("80"), _volts)
    voltage_max: Decimal = _setting("VOLTAGE_MAX", Decimal("520"), _volts)
    offline_after_seconds: int = _setting("OFFLINE_AFTER_SECONDS", 300, _number(int, 1, 31_536_000))
    max_clock_skew_seconds: int = _setting("MAX_CLOCK_SKEW_SECONDS", 300, _number(int, 0, 86_400))
    fleet_timezone: str = _setting("FLEET_TIMEZONE", "UTC", _timezone)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read every variable that is set; raise SettingsError naming the first that is wrong."""
        values: dict[str, Any] = {}
        for name, entry in cls.__dataclass_fields__.items():
            variable, parse = entry.metadata["variable"], entry.metadata["parse"]
            text = environ.get(variable, "").strip()
            if not text:
                continue
            try:
                values[name] = parse(text)
            except ValueError as error:
                shown = "" if parse is _database else f"={text!r}"  # there may be a password in it
                raise SettingsError(f"{variable}{shown} is not usable: {error}") from None
        settings = cls(**values)
        settings._check_order()
        return settings

    def _check_order(self) -> None:
        pairs = [
            ("efficiency_critical", "efficiency_warning"),
            ("efficiency_warning", "efficiency_excellent"),
            ("battery_temp_warning", "battery_temp_critical"),
            ("voltage_min", "voltage_max"),
            ("db_pool_min", "db_pool_max"),
        ]
        fields = type(self).__dataclass_fields__
        for low, high in pairs:
            if getattr(self, low) > getattr(self, high):
                low_variable = fields[low].metadata["variable"]
                high_variable = fields[high].metadata["variable"]
                raise SettingsError(
                    f"{low_variable}={getattr(self, low)} is not usable: "
                    f"must not be above {high_variable}={getattr(self, high)}"
                )

    def given_database_url(self) -> str | None:
        """Return the database that the environment names, or None when none is named."""
        if self.database_url:
            return self.database_url
        if self.db_host:
            user, password = quote(self.db_username, safe=""), quote(self.db_password, safe="")
            host = f"[{self.db_host}]" if ":" in self.db_host else quote(self.db_host, safe="")
            return f"postgresql://{user}:{password}@{host}:{self.db_port}/{quote(self.db_name, safe='')}"
        return None
