"""Reading requests' bodies within bounds: of one body, of one client's time, and of all bodies together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.errors import DamagedBodyError, FullOfBodiesError, SlowClientError
from treadle_agent.frontend.inflation import Inflation, too_large
from treadle_agent.frontend.pieces import STEP_BYTES, Pieces
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_callers.turns import NoTurnError, Turns

APART_BYTES = 65536  # larger ones are decompressed in the process for large bodies
LOOP_BYTES = 65536  # and so is what makes more than this of less: deflate makes a thousand bytes of one

Body = bytes | bytearray | memoryview


class BodyReader:
    """Reads bodies whole, so that a slow client holds no request block."""

    def __init__(self, settings: FrontEndSettings, aside: Aside) -> None:
        """`aside` knows the work "inflate"."""
        self._settings = settings
        self._aside = aside
        self._arriving = 0  # bytes of bodies that are not complete yet
        self._pace = Turns(1, settings.max_connections)  # at taking a piece of a large body: one a turn of the loop

    async def read(self, request: web.BaseRequest, tenant: str) -> Body:
        """The whole body, decompressed; tenants take turns at that.

        aiohttp could decompress, but takes truncated and damaged streams for good ones.

        Raises:
            BadRequestError: the content coding is not known, or the body is damaged.
            TooLargeError: it is larger than `max_body_bytes`: declared, chunked or after decompression.
            SlowClientError: it did not arrive within `body_timeout`.
            FullOfBodiesError: the bodies of all clients together fill `max_arriving_bytes`, or too many compressed
                ones wait: its turn did not come within `body_timeout`, or they fill the memory for that.
            NotReadError: the process for large bodies has ended.
        """
        coding = request.headers.get(hdrs.CONTENT_ENCODING)
        limit = self._settings.max_body_bytes
        content = request.content
        try:
            if content.is_eof():  # it came with the head
                body: bytes | memoryview = content.read_nowait()
                if len(body) > limit:
                    raise too_large(limit)
            else:
                body = await self._read_rest(request, tenant)
        except web.RequestPayloadError as error:
            raise DamagedBodyError(f"the body is damaged: {error}") from None
        if coding is None or coding == "identity":
            return body
        try:
            return await decompress(
                body, coding, limit,
                lambda: self._aside.ask(
                    "inflate", body, coding, limit,
                    tenant=tenant, size=len(body), patience=self._settings.body_timeout,
                ),
            )  # fmt: skip
        except (NoTurnError, TimeoutError):
            raise FullOfBodiesError("too many compressed requests wait to be decompressed") from None

    async def _read_rest(self, request: web.BaseRequest, tenant: str) -> bytes | memoryview:
        limits = self._settings
        declared = request.content_length
        if declared is not None and declared > limits.max_body_bytes:
            raise too_large(limits.max_body_bytes)
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = Pieces()
        try:
            async with asyncio.timeout(limits.body_timeout):
                while piece := await request.content.readany():
                    pieces.add(piece)
                    self._arriving += len(piece)
                    if pieces.size > limits.max_body_bytes:
                        raise too_large(limits.max_body_bytes)
                    if self._arriving > limits.max_arriving_bytes:
                        raise FullOfBodiesError("too many large requests are arriving at once")
                    if pieces.size > STEP_BYTES:  # a client sends on only while what came is taken
                        async with self._pace.turn(tenant):
                            await asyncio.sleep(0)
            return await pieces.join()
        except TimeoutError:
            raise SlowClientError(f"the body did not arrive within {limits.body_timeout:g} s") from None
        finally:
            self._arriving -= pieces.size
            pieces.let_go()


async def decompress(body: bytes | memoryview, coding: str, limit: int, apart: Callable[[], Awaitable[Body]]) -> Body:
    """Undo a content coding; no step on the event loop takes longer than `LOOP_BYTES` do. More is left to `apart`.

    Raises:
        BadRequestError: the coding is not known, or the stream is damaged, cut off or followed by something.
        TooLargeError: the result has more than `limit` bytes; no more than one beyond that is ever computed.
    """
    inflation = Inflation(body, coding)
    if len(body) > APART_BYTES or not inflation.reach(min(LOOP_BYTES, limit + 1)):
        return await apart()
    return inflation.end(limit)
