"""The ASGI server around the application."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import tempfile
import threading
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from litestar import Litestar

from service import logs
from service.access.policy import check_start
from service.app import create_app
from service.database.configure import apply_settings
from service.database.migrate import migrate
from service.errors import SettingsError
from service.settings import Settings

log = logging.getLogger(__name__)

_URL_VARIABLE = "EV_ENGINE_DATABASE_URL"
_METRICS_VARIABLE = "EV_ENGINE_METRICS_FOLDER"
# Devices may keep their connections open between readings: room for two fleets of 10,000, if the system allows.
_CONNECTIONS = 25_000
_OTHER_FILES = 300
# Request line and header fields together: the server answers 431 somewhere between this and twice as much, as they
# happen to arrive, and to more than 100 fields. They must arrive within the time, and a connection may rest as long
# between two requests.
_HEADER_BYTES = 64 * 1024
_HEADER_MILLISECONDS = 30_000


def run(settings: Settings, database_url: str, *, migrates: bool) -> None:
    """Migrate if asked to, then serve until SIGINT or SIGTERM."""
    if migrates:
        edition = migrate(database_url, settings.edition)
        log.info("the schema is up to date (%s edition)", edition)
    check_start(settings, database_url)
    apply_settings(database_url, settings)
    # Workers are processes of their own: they read the same environment, and this variable tells them the database.
    os.environ[_URL_VARIABLE] = database_url
    with tempfile.TemporaryDirectory(prefix="ev-engine-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_METRICS_VARIABLE] = folder
        _serve(settings)


def _serve(settings: Settings) -> None:
    log.info("serving on http://%s:%s (docs at /api/docs)", settings.host, settings.port)
    Granian(
        "service.server:worker_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        backpressure=_allowed_connections(),
        # HTTP/2 comes from the proxy, if at all; without it, a connection that never says anything is closed in time.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS, max_buffer_size=_HEADER_BYTES),
        loop=Loops.uvloop,
        log_level=LogLevels.warning,
        log_dictconfig={"loggers": {"_granian": {"handlers": [], "propagate": True}}},
        workers_kill_timeout=int(settings.request_timeout_seconds) + 10,
        respawn_failed_workers=True,
    ).serve()


def check_address(settings: Settings) -> None:
    """Raise SettingsError when the address is taken: workers share theirs, and would share it with another service."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        raise SettingsError(f"HOST={settings.host} PORT={settings.port} cannot be used: {error.strerror}") from None


def _allowed_connections() -> int:
    """Return how many connections a worker may hold, raising the process's file limit as far as that needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(_CONNECTIONS, soft - _OTHER_FILES), 100)


def _stop_with_parent() -> None:
    """Stop this worker when the process that started it is gone: it could neither be reached nor replaced."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def worker_app() -> Litestar:
    """Return the application of a worker process."""
    threading.Thread(target=_stop_with_parent, name="stop-with-parent", daemon=True).start()
    settings = Settings.from_environment()
    logs.configure(settings)
    app = create_app(settings, os.environ[_URL_VARIABLE], Path(os.environ[_METRICS_VARIABLE]))
    # A batch is thousands of objects that all die young: looking for cycles among them so often finds none.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    return app
