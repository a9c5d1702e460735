"""Reading requests' bodies within bounds: of one body, of one client's time, and of all bodies together."""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

from aiohttp import hdrs, web

from treadle_agent.frontend.errors import (
    BadRequestError,
    DamagedBodyError,
    FullOfBodiesError,
    SlowClientError,
    TooLargeError,
)
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.turns import NoTurnError, Turns

THREAD_BYTES = 65536  # larger ones are decompressed in a thread: zlib works without the interpreter's lock
LOOP_BYTES = 262144  # and so is what a smaller one has beyond this: deflate makes a thousand bytes of one
MOST_WAITING = 256 << 20  # bytes of the compressed bodies that wait for the thread
_STEP_BYTES = 131072  # with the interpreter's lock held no more is copied at once
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # deflate is the zlib format (RFC 9110, section 8.4.1.2)

# One thread: several would take the processors from the executor, and each may have a whole body's memory.
_inflating = ThreadPoolExecutor(1, thread_name_prefix="inflate")

Body = bytes | bytearray


class BodyReader:
    """Reads bodies whole, so that a slow client holds no request block."""

    def __init__(self, settings: FrontEndSettings) -> None:
        self._settings = settings
        self._arriving = 0  # bytes of bodies that are not complete yet
        self._turns = Turns(1, MOST_WAITING)  # at decompressing what is large

    async def read(self, request: web.BaseRequest, tenant: str) -> Body:
        """The whole body, decompressed; tenants take turns at that.

        aiohttp could decompress, but takes truncated and damaged streams for good ones.

        Raises:
            BadRequestError: the content coding is not known, or the body is damaged.
            TooLargeError: it is larger than `max_body_bytes`: declared, chunked or after decompression.
            SlowClientError: it did not arrive within `body_timeout`.
            FullOfBodiesError: the bodies of all clients together fill `max_arriving_bytes`, or too many compressed
                ones wait.
        """
        coding = request.headers.get(hdrs.CONTENT_ENCODING)
        limit = self._settings.max_body_bytes
        content = request.content
        try:
            if content.is_eof():  # it came with the head
                body = content.read_nowait()
                if len(body) > limit:
                    raise _too_large(limit)
            else:
                body = await self._read_rest(request)
        except web.RequestPayloadError as error:
            raise DamagedBodyError(f"the body is damaged: {error}") from None
        if coding is None or coding == "identity":
            return body
        try:
            return await decompress(body, coding, limit, self._turns.turn(tenant, len(body)))
        except NoTurnError:
            raise FullOfBodiesError("too many compressed requests wait to be decompressed") from None

    async def _read_rest(self, request: web.BaseRequest) -> bytes:
        limits = self._settings
        declared = request.content_length
        if declared is not None and declared > limits.max_body_bytes:
            raise _too_large(limits.max_body_bytes)
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.body_timeout):
                while part := await request.content.readany():
                    parts.append(part)
                    size += len(part)
                    self._arriving += len(part)
                    if size > limits.max_body_bytes:
                        raise _too_large(limits.max_body_bytes)
                    if self._arriving > limits.max_arriving_bytes:
                        raise FullOfBodiesError("too many large requests are arriving at once")
        except TimeoutError:
            raise SlowClientError(f"the body did not arrive within {limits.body_timeout:g} s") from None
        finally:
            self._arriving -= size
        return b"".join(parts)


async def decompress(body: bytes, coding: str, limit: int, turn: AbstractAsyncContextManager[None]) -> Body:
    """Undo a content coding; no step on the event loop takes longer than `LOOP_BYTES` do. More needs a `turn`.

    Raises:
        BadRequestError: the coding is not known, or the stream is damaged, cut off or followed by something.
        TooLargeError: the result has more than `limit` bytes; no more than one beyond that is ever computed.
    """
    inflation = _Inflation(body, coding)
    if len(body) > THREAD_BYTES or not inflation.reach(min(LOOP_BYTES, limit + 1)):
        async with turn:
            await asyncio.get_running_loop().run_in_executor(_inflating, inflation.reach, limit + 1)
    if len(inflation.content) > limit:
        raise _too_large(limit)
    if not inflation.whole:
        raise BadRequestError(f"the body's {coding} stream is cut off, or goes on after its end")
    return inflation.content


class _Inflation:
    """A content coding being undone; `content` is what there is so far."""

    def __init__(self, body: bytes, coding: str) -> None:
        bits = _WINDOW_BITS.get(coding.lower())
        if bits is None:
            raise BadRequestError(f"Content-Encoding {coding!r} is not known; use gzip or deflate")
        self.content = bytearray()
        self._coding = coding
        self._body = body
        self._taken = 0  # bytes of it
        self._stream = zlib.decompressobj(bits)

    @property
    def whole(self) -> bool:
        """Whether the body was exactly one stream, and that is decompressed."""
        return self._stream.eof and not self._stream.unused_data and self._taken >= len(self._body)

    def reach(self, size: int) -> bool:
        """Decompress until there are `size` bytes; False where there may be more."""
        while len(self.content) < size and not self._stream.eof:
            given = self._stream.unconsumed_tail or self._take()
            try:
                made = self._stream.decompress(given, min(_STEP_BYTES, size - len(self.content)))
            except zlib.error as error:
                raise BadRequestError(f"the body is not {self._coding}: {error}") from None
            self.content += made
            if not given and not made:
                break
        return self._stream.eof or len(self.content) < size

    def _take(self) -> bytes:
        """The next part of the body: what is left of a part that is given whole would be copied at every step."""
        begin, self._taken = self._taken, self._taken + _STEP_BYTES
        return self._body[begin : self._taken]


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes")
