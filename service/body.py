"""Request bodies: compressed or not, never larger, slower or more at once than the service can take."""

from __future__ import annotations

import asyncio
import zlib

import zstandard

from service.errors import (
    InvalidRequestError,
    OverloadedError,
    SlowRequestError,
    TooLargeError,
    UnsupportedEncodingError,
)
from service.http import HEADERS, AnyRequest

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_ARRIVING_BYTES = 4 * MAX_BODY_BYTES


class BodyReader:
    """Reads bodies whole; together, those that are still arriving hold at most 64 MiB."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._arriving_bytes = 0

    async def read(self, request: AnyRequest) -> bytes:
        """Return the request's body, decompressed as its Content-Encoding says (gzip, zstd or none).

        Raises TooLargeError beyond 16 MiB, before or after decompression, SlowRequestError when it has not arrived
        within `timeout_seconds`, OverloadedError when too many bytes are arriving, InvalidRequestError when it ends
        early or does not decompress, UnsupportedEncodingError for any other encoding.
        """
        headers: dict[bytes, bytes] = request.scope[HEADERS]  # type: ignore[literal-required]
        if int(headers.get(b"content-length", 0)) > MAX_BODY_BYTES:
            raise _too_large()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                body = await self._receive(request)
        except TimeoutError:
            raise SlowRequestError(f"the body did not arrive within {self._timeout_seconds:g} s") from None
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding == b"identity":
            return body
        if encoding in (b"gzip", b"x-gzip"):
            return _gunzip(body)
        if encoding == b"zstd":
            return _unzstd(body)
        shown = encoding[:32].decode("latin-1")
        raise UnsupportedEncodingError(f"Content-Encoding {shown!r} is not known: use gzip, zstd or identity")

    async def _receive(self, request: AnyRequest) -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        try:
            while more:
                message = await request.receive()
                if message["type"] != "http.request":
                    # The connection ended, or its framing broke.
                    raise InvalidRequestError("body is not complete")
                part = message.get("body", b"")
                more = message.get("more_body", False)
                if size + len(part) > MAX_BODY_BYTES:
                    raise _too_large()
                if self._arriving_bytes + len(part) > MAX_ARRIVING_BYTES:
                    raise OverloadedError("too many bodies are arriving")
                parts.append(part)
                size += len(part)
                self._arriving_bytes += len(part)
        finally:
            self._arriving_bytes -= size
        return b"".join(parts)


def _gunzip(body: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while body:
            stream = zlib.decompressobj(wbits=31)
            parts.append(stream.decompress(body, MAX_BODY_BYTES + 1 - size))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise _too_large()
            if not stream.eof:
                raise InvalidRequestError("body is not complete gzip data")
            body = stream.unused_data
    except zlib.error as error:
        raise InvalidRequestError(f"body is not gzip data: {error}") from None
    return b"".join(parts)


def _unzstd(body: bytes) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES).stream_reader(
            body, read_across_frames=True
        ) as stream:
            while part := stream.read(1024 * 1024):
                parts.append(part)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
    except zstandard.ZstdError as error:
        raise InvalidRequestError(f"body is not zstd data: {error}") from None
    return b"".join(parts)


def _too_large() -> TooLargeError:
    return TooLargeError("body is larger than 16 MiB")
