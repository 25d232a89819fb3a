"""The keys of the database, held in memory and kept up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hmac import compare_digest
from time import monotonic

from psycopg import AsyncConnection
from psycopg.rows import class_row

from service.access.limits import Bucket
from service.access.secret import ID, is_well_formed, matches
from service.database.pool import cut_after, open_connection
from service.database.reconnect import stay_connected
from service.errors import DatabaseUnavailableError

log = logging.getLogger(__name__)

MAX_UNKNOWN = 10_000
_POLL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_FRESH_SECONDS = 10.0
# One page keeps the event loop busy for some 50 ms; without pages, 100,000 keys at the start took 0.9 s of it.
_PAGE = 5000
_CHANGES = "SELECT * FROM engine.find_keys(%s) ORDER BY version LIMIT %s"


@dataclass(slots=True)
class Key:
    """A key as the database holds it; `proven` is the text of it that matched the hash."""

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
        """Return whether the key may send readings of this device."""
        if self.device_id is not None:
            return device_id == self.device_id
        return self.device_prefix is None or device_id.startswith(self.device_prefix)


class Keyring:
    """Finds a key by its id.

    It holds every key that is not revoked (70 MB for 100,000), and asks for changes every 2 s, or at once when somebody
    presents a key that it does not know: one question then serves all who wait. When the database has not answered for
    10 s, no key counts any more: the keyring raises DatabaseUnavailableError, and refuses nobody.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[bytes, Key] = {}
        self._unknown: set[bytes] = set()
        """Ids that the database did not have when it was asked last."""
        self._version = 0
        self._fresh_until = 0.0
        self._asked = asyncio.Event()
        self._next_answer: asyncio.Future[bool] | None = None
        """Done when the next poll is: true, or false when the database did not answer."""

    def get(self, presented: bytes, now: float) -> Key | None:
        """Return the key when it is known and its secret is right, else None.

        `now` is monotonic. Raises DatabaseUnavailableError when the key may have changed meanwhile.
        """
        key = self._keys.get(presented[ID])
        if key is None:
            return None
        # The hash is computed once. Later the two texts are compared, which takes constant time too, but a tenth of it.
        # Keeping the text is safe: whoever reads this memory reads the keys that clients send as well.
        if not compare_digest(presented, key.proven):
            if not (is_well_formed(presented) and matches(presented, key.salt, key.hash)):
                return None
            key.proven = presented
        if now > self._fresh_until:
            raise _unreachable()
        return key

    async def look_up(self, presented: bytes) -> tuple[bool, Key | None]:
        """Return whether the database had to be asked, and the key if it is valid; raise DatabaseUnavailableError.

        The database is also asked when a known key has another secret, which may be a new one.
        """
        if not is_well_formed(presented):
            return False, None
        key_id = presented[ID]
        must_ask = key_id not in self._unknown
        if must_ask or monotonic() > self._fresh_until:
            if self._next_answer is None:
                self._next_answer = asyncio.get_running_loop().create_future()
                self._asked.set()
            # One who goes away must not end what others wait for.
            if not await asyncio.shield(self._next_answer):
                raise _unreachable()
            if key_id not in self._keys:
                if len(self._unknown) >= MAX_UNKNOWN:
                    self._unknown.clear()
                self._unknown.add(key_id)
        return must_ask, self.get(presented, monotonic())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the keys up to date until the block ends."""
        task = asyncio.create_task(
            stay_connected(
                lambda: open_connection(self._url, _ANSWER_SECONDS),
                self._poll,
                on_failure=lambda _: self._settle(self._take_waiting(), False),
                log=log,
                lost="keys cannot be checked",
                restored="keys can be checked again",
            )
        )
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._settle(self._take_waiting(), False)

    async def _poll(self, connection: AsyncConnection) -> None:
        await self._check_version(connection)
        while True:
            waiting = self._take_waiting()
            answered = False
            try:
                await self._ask(connection)
                answered = True
            finally:
                self._settle(waiting, answered)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), _POLL_SECONDS)

    async def _check_version(self, connection: AsyncConnection) -> None:
        """Forget every key when the database is another one than before, or an older state of it."""
        async with cut_after(connection, _ANSWER_SECONDS):
            row = await (await connection.execute("SELECT engine.key_version()")).fetchone()
        assert row is not None
        if row[0] < self._version:
            self._keys.clear()
            self._unknown.clear()
            self._version = 0

    async def _ask(self, connection: AsyncConnection) -> None:
        more = True
        while more:
            asked_at = monotonic()
            async with cut_after(connection, _ANSWER_SECONDS), connection.cursor(row_factory=class_row(Key)) as cursor:
                await cursor.execute(_CHANGES, [self._version, _PAGE])
                changed = await cursor.fetchall()
            self._apply(changed)
            more = len(changed) == _PAGE
        self._fresh_until = asked_at + _FRESH_SECONDS

    def _apply(self, changed: list[Key]) -> None:
        for key in changed:
            key_id = key.id.encode()
            self._version = max(self._version, key.version)
            self._unknown.discard(key_id)
            before = self._keys.pop(key_id, None)
            if before is not None:
                key.bucket = before.bucket
            if not key.revoked:
                self._keys[key_id] = key
            elif before is not None:
                # Its device may still send for a while: that costs the address no penalty.
                self._unknown.add(key_id)

    def _take_waiting(self) -> asyncio.Future[bool] | None:
        waiting, self._next_answer = self._next_answer, None
        self._asked.clear()
        return waiting

    def _settle(self, waiting: asyncio.Future[bool] | None, answered: bool) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_result(answered)


def _unreachable() -> DatabaseUnavailableError:
    return DatabaseUnavailableError("the service cannot check keys, as it does not reach its database")
