"""The ASGI server around the application."""

from __future__ import annotations

import gc
import logging
import os

from granian import Granian
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from litestar import Litestar

from service.app import create_app
from service.migrate import apply_settings, migrate
from service.settings import Settings

log = logging.getLogger(__name__)

_URL_VARIABLE = "EV_ENGINE_DATABASE_URL"


def run(settings: Settings, database_url: str, *, migrates: bool) -> None:
    """Migrate if asked to, then serve until SIGINT or SIGTERM."""
    if migrates:
        edition = migrate(database_url, settings.edition)
        log.info("the schema is up to date (%s edition)", edition)
    apply_settings(database_url, settings)
    # Workers are processes of their own: they read the same environment, and this variable tells them the database.
    os.environ[_URL_VARIABLE] = database_url
    log.info("serving on http://%s:%s (docs at /api/docs)", settings.host, settings.port)
    Granian(
        "service.server:worker_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop=Loops.uvloop,
        log_level=LogLevels.warning,
        workers_kill_timeout=int(settings.request_timeout_seconds) + 10,
        respawn_failed_workers=True,
    ).serve()


def worker_app() -> Litestar:
    """Return the application of a worker process."""
    settings = Settings.from_environment()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s")
    app = create_app(settings, os.environ[_URL_VARIABLE])
    # A batch is thousands of objects that all die young: looking for cycles among them so often finds none.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    return app
