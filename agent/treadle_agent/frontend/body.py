"""Reading requests' bodies within bounds: of one body, of one client's time, and of all bodies together."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, SlowClientError, TooLargeError
from treadle_agent.frontend.settings import FrontEndSettings

_CODINGS = ("gzip", "deflate", "identity")


class BodyReader:
    """Reads bodies whole, so that a slow client holds no request block."""

    def __init__(self, settings: FrontEndSettings) -> None:
        self._settings = settings
        self._arriving = 0  # bytes of bodies that are not complete yet

    async def read(self, request: web.BaseRequest) -> bytes:
        """The whole body, decompressed (aiohttp's parser does that, a chunk at a time).

        Raises:
            BadRequestError: the content coding is not known, or the body is damaged.
            TooLargeError: it is larger than `max_body_bytes`: declared, chunked or after decompression.
            SlowClientError: it did not arrive within `body_timeout`.
            FullOfBodiesError: the bodies of all clients together fill `max_arriving_bytes`.
        """
        coding = request.headers.get(hdrs.CONTENT_ENCODING)
        if coding is not None and coding.lower() not in _CODINGS:
            raise BadRequestError(f"Content-Encoding {coding!r} is not known; use gzip or deflate")
        content = request.content
        try:
            if content.is_eof():  # it came with the head
                body = content.read_nowait()
                if len(body) > self._settings.max_body_bytes:
                    raise self._too_large()
                return body
            return await self._read_rest(request, compressed=coding is not None)
        except (web.RequestPayloadError, HttpProcessingError) as error:
            raise BadRequestError(f"the body is damaged: {error}") from None

    async def _read_rest(self, request: web.BaseRequest, *, compressed: bool) -> bytes:
        limits = self._settings
        declared = request.content_length
        if declared is not None and declared > limits.max_body_bytes:
            raise self._too_large()
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
                        # Reading on, to let the client see this answer, would decompress the rest.
                        raise self._too_large(abort=compressed)
                    if self._arriving > limits.max_arriving_bytes:
                        raise FullOfBodiesError("too many large requests are arriving at once")
        except TimeoutError:
            raise SlowClientError(f"the body did not arrive within {limits.body_timeout:g} s") from None
        finally:
            self._arriving -= size
        return b"".join(parts)

    def _too_large(self, *, abort: bool = False) -> TooLargeError:
        error = TooLargeError(f"the body is larger than {self._settings.max_body_bytes} bytes")
        error.abort = abort
        return error
