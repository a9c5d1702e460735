"""Responses, written to the connection in one piece."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web

from treadle_agent.frontend.errors import RequestError

JSON = "application/json"
BINARY = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"  # bytes of a body's JSON; tensors follow it

LONGEST_MESSAGE = 4096  # of an error: some repeat what the client sent
THREAD_BYTES = 65536  # compressing more than this takes a millisecond: that is left to a thread
COPY_BYTES = 16384  # up to here one more copy is cheaper than a second write
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Reply(web.StreamResponse):
    """A whole response: status, header lines, body.

    aiohttp's Response spends as much on its header dictionary as a small inference spends here in all, so this one
    writes prepared bytes. What aiohttp's protocol asks of a response is overridden; nothing else of it is used.
    """

    def __init__(self, body: bytes, *, status: int = 200, content_type: str = JSON, headers: str = "") -> None:
        # The base class's initialiser would make the header dictionary that this class exists to avoid.
        self._status = status
        self._close_after = False
        self._abort = False
        self._writer: Any = None
        self.write_timeout: float | None = None  # seconds
        self.content = body
        self.content_type_line = f"Content-Type: {content_type}\r\n"
        self.header_lines = headers

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on after this response."""
        return not self._close_after

    def close_after(self, *, abort: bool = False) -> None:
        """Close the connection after this response; `abort`: without reading the rest of the request."""
        self._close_after = True
        self._abort = self._abort or abort

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Write head and body; raises ConnectionResetError when the client has gone."""
        if not request.keep_alive:
            self._close_after = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        content = self.content
        head = self.head(close=self._close_after, http10=request.version.minor == 0)
        if request.method == hdrs.METH_HEAD:
            transport.write(head)
        elif len(content) <= COPY_BYTES:
            transport.write(head + content)
        else:
            transport.write(head)
            transport.write(content)
        if self._abort:
            request.protocol.force_close()
        self._writer = request.writer

    def head(self, *, close: bool, http10: bool = False) -> bytes:
        """Status line and header fields."""
        connection = "Connection: close\r\n" if close else "Connection: keep-alive\r\n" if http10 else ""
        return (
            f"{_STATUS_LINES[self._status]}{self.content_type_line}{self.header_lines}{connection}{_date.line()}"
            f"Content-Length: {len(self.content)}\r\n\r\n"
        ).encode("ascii")

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - the base class's signature
        """Wait until the client has taken most of the response; one that does not take it in time is cut off."""
        protocol = self._writer.protocol
        if protocol.writing_paused:
            try:
                async with asyncio.timeout(self.write_timeout):
                    await self._writer.drain()
            except TimeoutError:
                if protocol.transport is not None:
                    protocol.transport.abort()  # close() would wait for the client once more


class _Date:
    """The Date header line, formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = ""

    def line(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._line = now, f"Date: {formatdate(now, usegmt=True)}\r\n"
        return self._line


_date = _Date()


def error_reply(error: RequestError) -> Reply:
    """``{"error": message}`` with the condition's status."""
    retry = f"Retry-After: {error.retry_after}\r\n" if error.retry_after is not None else ""
    body = msgspec.json.encode({"error": str(error)[:LONGEST_MESSAGE]})
    return Reply(body, status=error.status, headers=retry + error.headers)


def accepted_encoding(accept: str) -> str:
    """The content coding to answer with: gzip, deflate, or "" for none (RFC 9110, section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, value = parameters.strip().partition("=")
        try:
            weights[coding.strip()] = float(value) if name == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    for coding in ("gzip", "deflate"):
        if weights.get(coding, weights.get("*", 0.0)) > 0:
            return coding
    return ""


async def compress(reply: Reply, accept: str) -> None:
    """Compress a reply's body if the client accepts that."""
    coding = accepted_encoding(accept)
    reply.header_lines += "Vary: Accept-Encoding\r\n"
    if coding:
        pack = _gzip if coding == "gzip" else _deflate
        if len(reply.content) > THREAD_BYTES:
            reply.content = await asyncio.to_thread(pack, reply.content)
        else:
            reply.content = pack(reply.content)
        reply.header_lines += f"Content-Encoding: {coding}\r\n"


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 1, mtime=0)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, 1)
