"""The keys that this process knows: looked up when first seen, kept up to date by one small question."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from hmac import compare_digest
from time import monotonic
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row

from service.access.limits import Bucket
from service.access.secret import ID, fits, looks_right
from service.database.pool import connect, cut_after
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")

MAX_KNOWN = 100_000
MAX_UNKNOWN = 10_000
_ASK_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_FRESH_SECONDS = 10.0
_RECONNECT_SECONDS = 0.5
_FIND = "SELECT * FROM engine.find_keys(%s, %s)"


@dataclass(slots=True)
class Key:
    """A key as the database has it; `proven` is what somebody presented that has its hash."""

    id: str
    name: str
    scopes: list[str]
    device_id: str | None
    device_prefix: str | None
    salt: bytes
    hash: bytes
    version: int
    revoked: bool
    proven: bytes = b""
    bucket: Bucket = field(default_factory=Bucket)

    def covers(self, device_id: str) -> bool:
        """Return whether it may send this device's readings."""
        if self.device_id is not None:
            return device_id == self.device_id
        return self.device_prefix is None or device_id.startswith(self.device_prefix)


class Keyring:
    """Finds keys by their id.

    A key stays known until the database says that it changed: every 2 s one question asks for changes, and with it go
    the ids that wait to be looked up, however many. (Entries that simply expired would have to do so within 10 s, and a
    device that reports once a minute would then never find its key known.) Without an answer for 10 s nothing is
    known any more: DatabaseUnavailableError, not a refusal.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: OrderedDict[bytes, Key] = OrderedDict()
        self._unknown: OrderedDict[bytes, None] = OrderedDict()
        self._wanted: dict[bytes, asyncio.Future[bool]] = {}
        self._asked = asyncio.Event()
        self._version = 0
        self._fresh_until = 0.0

    def get(self, presented: bytes, now: float) -> Key | None:
        """Return the key when it is known and its secret is right, else None.

        `now` is monotonic. Raises DatabaseUnavailableError when the key may have changed since it was looked up.
        """
        key = self._known.get(presented[ID])
        if key is None:
            return None
        # The hash is taken once; after that two keys are compared, in constant time too and in a tenth of the time.
        # It adds nothing to what the memory of a process holds that keys are sent to.
        if not compare_digest(presented, key.proven):
            if not (looks_right(presented) and fits(presented, key.salt, key.hash)):
                return None
            key.proven = presented
        if now > self._fresh_until:
            raise _away()
        return key

    async def look_up(self, presented: bytes) -> tuple[bool, Key | None]:
        """Return whether the database had to be asked, and the key if it is good; raise DatabaseUnavailableError.

        It is asked for a known key that has another secret too: that may be a new one.
        """
        key_id = presented[ID]
        if not looks_right(presented):
            return False, None
        asked = key_id not in self._unknown
        if asked or monotonic() > self._fresh_until:
            answer = self._wanted.get(key_id)
            if answer is None:
                answer = self._wanted[key_id] = asyncio.get_running_loop().create_future()
                self._asked.set()
            # Shielded: others may wait for the same answer.
            if not await asyncio.shield(answer):
                raise _away()
        return asked, self.get(presented, monotonic())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep what is known up to date until the block ends."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._settle(self._take_wanted(), False)

    async def _work(self) -> None:
        unreachable = False
        while True:
            wanted: dict[bytes, asyncio.Future[bool]] = {}
            try:
                connection = await connect(self._url, _ANSWER_SECONDS)
                async with connection:
                    await self._begin(connection)
                    if unreachable:
                        log.info("keys can be checked again")
                        unreachable = False
                    while True:
                        wanted = self._take_wanted()
                        await self._ask(connection, wanted)
                        self._settle(wanted, True)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._asked.wait(), _ASK_SECONDS)
            except (DatabaseUnavailableError, psycopg.Error, OSError) as error:
                if not unreachable:
                    log.error("keys cannot be checked: %s", error)
                    unreachable = True
                self._settle(wanted | self._take_wanted(), False)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _begin(self, connection: AsyncConnection) -> None:
        async with cut_after(connection, _ANSWER_SECONDS):
            row = await (await connection.execute("SELECT engine.key_version()")).fetchone()
        assert row is not None
        if row[0] < self._version or not self._known:
            # Another database than before, or an older state of it: what was known says nothing about it.
            self._known.clear()
            self._unknown.clear()
            self._version = row[0]

    async def _ask(self, connection: AsyncConnection, wanted: Collection[bytes]) -> None:
        asked = monotonic()
        async with cut_after(connection, _ANSWER_SECONDS), connection.cursor(row_factory=class_row(Key)) as cursor:
            await cursor.execute(_FIND, ([key_id.decode() for key_id in wanted], self._version))
            found = {key.id.encode(): key for key in await cursor.fetchall()}
        for key_id in wanted:
            if key_id not in found:
                _put(self._unknown, key_id, None, MAX_UNKNOWN)
        for key_id, key in found.items():
            self._version = max(self._version, key.version)
            if key.revoked:
                if self._known.pop(key_id, None) or key_id in wanted:
                    _put(self._unknown, key_id, None, MAX_UNKNOWN)
                continue
            self._unknown.pop(key_id, None)
            before = self._known.get(key_id)
            if before is not None:
                key.bucket = before.bucket
            if before is not None or key_id in wanted:
                _put(self._known, key_id, key, MAX_KNOWN)
        self._fresh_until = asked + _FRESH_SECONDS

    def _take_wanted(self) -> dict[bytes, asyncio.Future[bool]]:
        wanted, self._wanted = self._wanted, {}
        self._asked.clear()
        return wanted

    def _settle(self, wanted: dict[bytes, asyncio.Future[bool]], answered: bool) -> None:
        for answer in wanted.values():
            if not answer.done():
                answer.set_result(answered)


def _away() -> DatabaseUnavailableError:
    return DatabaseUnavailableError("the database is away, so that keys cannot be checked")


def _put(entries: OrderedDict[bytes, Entry], key_id: bytes, entry: Entry, most: int) -> None:
    """Add an entry; the oldest one makes room."""
    entries[key_id] = entry
    if len(entries) > most:
        entries.popitem(last=False)
