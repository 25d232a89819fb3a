"""Request bodies: it bounds their size, their time, and the memory that they take together.

The decompression is our own, since neither `gzip.GzipFile` nor `zstd.ZstdFile` limits the number of members: a body of
empty ones keeps the first busy for seconds, and the second for half a minute.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from service.errors import (
    InvalidRequestError,
    OverloadedError,
    SlowRequestError,
    TooLargeError,
    UnsupportedEncodingError,
)
from service.http.request import AnyRequest, headers_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_ARRIVING_BYTES = 4 * MAX_BODY_BYTES
# Four bytes of zstd can stand for 128 KiB, so that this many bytes never become more than 16 MiB at once.
_PIECE_BYTES = 512
_MAX_MEMBERS = 1000
_WINDOW_LOG = (MAX_BODY_BYTES - 1).bit_length()


class BodyReader:
    """Reads whole bodies; those that are arriving hold 64 MiB together at most."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._arriving_bytes = 0

    async def read(self, request: AnyRequest) -> bytes:
        """Return the request's body, decompressed as its Content-Encoding says (gzip, zstd or identity).

        Raises TooLargeError above 16 MiB, before or after decompression; SlowRequestError when the body does not arrive
        within `timeout_seconds`; OverloadedError when too many bytes are arriving; InvalidRequestError when it ends
        early or does not decompress; UnsupportedEncodingError for any other encoding.
        """
        headers = headers_of(request)
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
            return _decompress(body, _gzip, "gzip")
        if encoding == b"zstd":
            return _decompress(body, _zstd, "zstd")
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


class _Decompressor(Protocol):
    """Decompresses one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd() -> _Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def _decompress(body: bytes, new_member: Callable[[], _Decompressor], encoding: str) -> bytes:
    parts: list[bytes] = []
    size, members = 0, 0
    member: _Decompressor | None = None
    try:
        for start in range(0, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            while piece:
                if member is None:
                    member = new_member()
                    members += 1
                    if members > _MAX_MEMBERS:
                        raise InvalidRequestError(f"body is {encoding} data in more than {_MAX_MEMBERS} parts")
                parts.append(member.decompress(piece))
                size += len(parts[-1])
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                piece = b""
                if member.eof:
                    piece, member = member.unused_data, None
    except (zlib.error, zstd.ZstdError) as error:
        raise InvalidRequestError(f"body is not {encoding} data: {error}") from None
    if member is not None:
        raise InvalidRequestError(f"body is not complete {encoding} data")
    return b"".join(parts)


def _too_large() -> TooLargeError:
    return TooLargeError("body is larger than 16 MiB")
