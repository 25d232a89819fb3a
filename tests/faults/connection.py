"""One HTTP connection, close enough to the wire to see what is not answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

LONGEST_WAIT_SECONDS = 120


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


class NotConnectedError(Exception):
    """Nobody listens."""


class UnansweredError(Exception):
    """The connection ended before its answer."""


class Connection:
    """Sends requests one after the other over a connection that is made when needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer; raise NotConnectedError, or UnansweredError when the connection ends instead."""
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                raise NotConnectedError from error
        reader, writer = self._streams
        try:
            writer.write(encode(method, path, body))
            await writer.drain()
            return await asyncio.wait_for(self._read(reader), LONGEST_WAIT_SECONDS)
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise UnansweredError(type(error).__name__) from error

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        length = int(headers.get("content-length", 0))
        text = await reader.readexactly(length)
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(int(head[0].split()[1]), headers, json.loads(text) if text else None)


def encode(method: str, path: str, body: Any = None) -> bytes:
    """Return a request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content
