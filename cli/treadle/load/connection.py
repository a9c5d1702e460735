"""One keep-alive HTTP/1.1 connection with one request under way. Written here because client libraries cost as much
time per request as the servers they would measure.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol, cast

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_HEAD_LIMIT = 65536  # bytes; also ends a connection that does not speak HTTP


class Owner(Protocol):
    """Whoever sends through connections."""

    def opened(self, connection: Connection) -> None:
        """The connection can take a request."""

    def answered(self, connection: Connection, request: int, status: int, head: bytes, body: bytes) -> None:
        """A request was answered; the connection can take another one unless it is closing."""

    def lost(self, connection: Connection, request: int) -> None:
        """The connection has ended; `request` was under way (-1: none)."""


class Connection(asyncio.Protocol):
    """Client side of one connection; `request` is under way, or -1."""

    def __init__(self, owner: Owner) -> None:
        self.request = -1
        self.closing = False
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head_end = 0
        self._end = 0  # of the answer in the buffer; 0 until its head is known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        self._owner.opened(self)

    def send(self, request: int, message: bytes) -> None:
        """Send one whole request; only when none is under way."""
        assert self.request < 0, "one request at a time"
        assert self._transport is not None
        self.request = request
        self._transport.write(message)

    def close(self) -> None:
        """Drop the connection, and the answer that may be on its way."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._buffer or self._end:
            self._buffer += data
            if len(self._buffer) < self._end:
                return None
            data = bytes(self._buffer)
        if self.request < 0:
            return self.close()  # an answer to nothing
        if not self._end and not self._read_head(data):
            return None
        if len(data) < self._end:
            self._buffer[:] = data
            return None
        return self._finish(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See asyncio.Protocol."""
        request, self.request = self.request, -1
        self.closing = True
        self._owner.lost(self, request)

    def _read_head(self, data: bytes) -> bool:
        self._head_end = data.find(b"\r\n\r\n")
        if self._head_end < 0:
            self._buffer[:] = data
            if len(data) > _HEAD_LIMIT or b"HTTP/1.1"[: len(data)] != data[:8]:
                self.close()
            return False
        found = _LENGTH.search(data, 0, self._head_end + 2)
        if found is None or not data.startswith(b"HTTP/1."):  # chunked answers are not needed here
            self.close()
            return False
        self._end = self._head_end + 4 + int(found[1])
        return True

    def _finish(self, data: bytes) -> None:
        request, self.request = self.request, -1
        head, body = data[: self._head_end], data[self._head_end + 4 : self._end]
        self.closing = b"onnection: close" in head
        surplus = len(data) > self._end
        self._end = 0
        self._buffer.clear()
        self._owner.answered(self, request, int(head[9:12]), head, body)
        if self.closing or surplus:
            self.close()
