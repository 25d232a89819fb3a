"""The ASGI server around the application."""

from __future__ import annotations

import asyncio
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
# Devices may keep their connections open between readings: this is enough for two fleets of 10,000 devices.
_CONNECTIONS = 25_000
_OTHER_FILES = 300
# The limit of the request line and the header fields together. The server answers 431 at a size between this and twice
# as much, and to more than 100 fields. The head of a request must arrive within the time, which is also the longest
# pause between two requests of a connection.
_HEADER_BYTES = 64 * 1024
_HEADER_MILLISECONDS = 30_000


def run(settings: Settings, database_url: str, *, migrates: bool) -> None:
    """Migrate the schema when `migrates`, then serve until SIGINT or SIGTERM."""
    if migrates:
        edition = migrate(database_url, settings.edition)
        log.info("the schema is up to date (%s edition)", edition)
    check_start(settings, database_url)
    apply_settings(database_url, settings)
    # Workers are processes of their own. They read the same environment, and find the database in this variable.
    os.environ[_URL_VARIABLE] = database_url
    with tempfile.TemporaryDirectory(prefix="ev-engine-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_METRICS_VARIABLE] = folder
        _serve(settings)


def _serve(settings: Settings) -> None:
    _fork_with_signals_blocked()
    log.info("serving on http://%s:%s (docs at /api/docs)", settings.host, settings.port)
    Granian(
        "service.server:worker_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        backpressure=_allowed_connections(),
        # A proxy may offer HTTP/2. Without HTTP/2 here, the server closes a silent connection in time.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS, max_buffer_size=_HEADER_BYTES),
        loop=Loops.uvloop,
        log_level=LogLevels.warning,
        log_dictconfig={"loggers": {"_granian": {"handlers": [], "propagate": True}}},
        workers_kill_timeout=int(settings.request_timeout_seconds) + 10,
        respawn_failed_workers=True,
    ).serve()


def check_address(settings: Settings) -> None:
    """Raise SettingsError when another process has the address, which the workers would otherwise share with it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        raise SettingsError(f"HOST={settings.host} PORT={settings.port} cannot be used: {error.strerror}") from None


def _allowed_connections() -> int:
    """Return how many connections a worker may hold; raise the file limit of the process for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(_CONNECTIONS, soft - _OTHER_FILES), 100)


def _stop_with_parent() -> None:
    """Stop this worker when its parent ends: nothing could stop or replace it later."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_SETTLED_SECONDS = 0.2


def _fork_with_signals_blocked() -> None:
    """Have every process that is forked from now on start with the signals blocked that ask for a stop.

    A worker inherits the handlers of its parent: until it has its own, such a signal would be lost, and the worker
    would serve on until it is killed. Blocked, the signal waits for `_let_signals_in`.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS),
    )


def _let_signals_in() -> None:
    """Let the signals that ask for a stop in, once the server's event loop is the one that hears them."""
    loop = asyncio.get_running_loop()
    # The loop pauses between its start-up and its serving, and forgets what comes then.
    loop.call_later(_SETTLED_SECONDS, signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOP_SIGNALS)


def worker_app() -> Litestar:
    """Return the application of a worker process."""
    threading.Thread(target=_stop_with_parent, name="stop-with-parent", daemon=True).start()
    settings = Settings.from_environment()
    logs.configure(settings)
    app = create_app(settings, os.environ[_URL_VARIABLE], Path(os.environ[_METRICS_VARIABLE]))
    app.on_startup.append(_let_signals_in)
    # A batch creates thousands of short-lived objects without cycles, so the collector runs less often than usual.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    return app
