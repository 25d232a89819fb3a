"""The status stream: server-sent events of what changes, from one query a second however many listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from litestar.response import Stream

from service.access.scope import Scope, needs
from service.alerts.routes import Alert
from service.database.pool import ReadPool
from service.errors import OverloadedError, UnavailableError
from service.http.documentation import documented
from service.http.ids import to_id
from service.http.rows import struct_of
from service.status.routes import MeterStatus, Overview, VehicleStatus

log = logging.getLogger(__name__)

_ASK_SECONDS = 1.0
_COMMENT_SECONDS = 15.0
_MAX_LISTENERS = 2000
_MAX_WAITING = 16
_encode = msgspec.json.encode


class _Change(msgspec.Struct, frozen=True):
    event: str
    change_id: int | None
    entry: dict[str, Any] | None


@dataclass(eq=False)
class _Listener:
    meter_id: str | None
    vehicle_id: str | None
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_MAX_WAITING))
    told: dict[str, bytes] = field(default_factory=dict)
    dropped: bool = False


class StatusStream:
    """Asks the database once a second while somebody listens, and tells every listener what has changed."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool
        self._listeners: set[_Listener] = set()
        self._overview = b""
        self._last_alert: int | None = None
        self._heard = asyncio.Event()
        self._ended = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve listeners until the block ends, or the process is told to stop; then end their streams."""
        task = asyncio.create_task(self._work())
        self._end_on_signals()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.end()

    def _end_on_signals(self) -> None:
        """End the streams as soon as the process is told to stop, as the server waits for every answer to end.

        The server's own handler stays: the event loop calls it, beside this one of Python's.
        """
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.end))

    def end(self) -> None:
        """End every stream."""
        self._ended = True
        for listener in list(self._listeners):
            self._drop(listener)

    async def listen(self, meter_id: str | None, vehicle_id: str | None) -> AsyncIterator[bytes]:
        """Yield events as they come; a listener that does not keep up is dropped, and ends."""
        if len(self._listeners) >= _MAX_LISTENERS:
            raise OverloadedError("too many listen already")
        listener = _Listener(meter_id, vehicle_id)
        self._listeners.add(listener)
        if self._overview:
            self._tell_news([listener], "overview", self._overview)
        self._heard.set()
        return self._events(listener)

    async def _events(self, listener: _Listener) -> AsyncIterator[bytes]:
        try:
            yield b": listening\n\n"
            while not listener.dropped and not self._ended:
                try:
                    event = await asyncio.wait_for(listener.queue.get(), _COMMENT_SECONDS)
                except TimeoutError:
                    event = b": nothing new\n\n"
                if event:
                    yield event
        finally:
            self._listeners.discard(listener)

    async def _work(self) -> None:
        while True:
            if not self._listeners:
                self._heard.clear()
                self._overview = b""
                self._last_alert = None
                await self._heard.wait()
            try:
                await self._ask()
            except UnavailableError as error:
                log.debug("the status stream waits for the database: %s", error)
            except Exception:
                log.exception("the status stream could not ask")
            await asyncio.sleep(_ASK_SECONDS)

    async def _ask(self) -> None:
        listeners = list(self._listeners)
        changes = await self._pool.rows(
            _Change,
            "SELECT * FROM engine.status_changes(%s, %s, %s)",
            self._last_alert,
            sorted({each.meter_id for each in listeners if each.meter_id is not None}),
            sorted({each.vehicle_id for each in listeners if each.vehicle_id is not None}),
        )
        for change in changes:
            if change.change_id is not None:
                self._last_alert = change.change_id
            if change.entry is None:
                continue
            if change.event == "overview":
                self._overview = _event("overview", struct_of(Overview, change.entry))
                self._tell_news(list(self._listeners), "overview", self._overview)
            elif change.event == "alert":
                self._tell(listeners, _event("alert", struct_of(Alert, change.entry)))
            else:
                self._tell_status(listeners, change.event, change.entry)

    def _tell_status(self, listeners: list[_Listener], kind: str, entry: dict[str, Any]) -> None:
        device_id = entry[f"{kind}_id"]
        event = _event("status", struct_of(MeterStatus if kind == "meter" else VehicleStatus, entry))
        told = [each for each in listeners if device_id == (each.meter_id if kind == "meter" else each.vehicle_id)]
        self._tell_news(told, kind, event)

    def _tell_news(self, listeners: list[_Listener], topic: str, event: bytes) -> None:
        """Tell those of the listeners who have not heard this of the topic last."""
        news = [each for each in listeners if each.told.get(topic) != event]
        for listener in news:
            listener.told[topic] = event
        self._tell(news, event)

    def _tell(self, listeners: list[_Listener], event: bytes) -> None:
        for listener in listeners:
            try:
                listener.queue.put_nowait(event)
            except asyncio.QueueFull:
                self._drop(listener)

    def _drop(self, listener: _Listener) -> None:
        listener.dropped = True
        self._listeners.discard(listener)
        with contextlib.suppress(asyncio.QueueFull):
            listener.queue.put_nowait(b"")


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))


def stream_router(stream: StatusStream) -> Router:
    """Return the route of the status stream."""

    @get(
        "/stream",
        operation_class=documented(400, 503),
        summary="What changes, as server-sent events: overview, alert, and the status of a device",
        media_type="text/event-stream",
    )
    async def status_stream(
        meter_id: Annotated[
            str | None, QueryParameter(name="meterId", description="Tell the status of this meter too")
        ] = None,
        vehicle_id: Annotated[
            str | None, QueryParameter(name="vehicleId", description="Tell the status of this vehicle too")
        ] = None,
    ) -> Stream:
        events = await stream.listen(
            None if meter_id is None else to_id(meter_id, "meterId"),
            None if vehicle_id is None else to_id(vehicle_id, "vehicleId"),
        )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Stream(events, media_type="text/event-stream", headers=headers)

    return Router("/v1/status", route_handlers=[status_stream], tags=["Status"], **needs(Scope.READ))
