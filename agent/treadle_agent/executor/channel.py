"""Messages between the front end and an executor process: framed, batched, over one Unix stream socket.

A frame is a little-endian uint32, the length, and a msgpack array of messages (`executor.protocol`). Messages are
collected and sent as one frame: once a turn of the front end's event loop, and at each `flush` of the executor.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import cast

import msgspec

from treadle_agent.executor.protocol import ToExecutor, ToFrontEnd

_LENGTH = struct.Struct("<I")
_RECEIVE_BYTES = 1 << 18
LONGEST_FRAME = 1 << 28  # bytes; more is not a frame but a broken peer


class BrokenChannelError(Exception):
    """Raised when bytes arrive that are no frame of messages: the peer speaks another protocol or is damaged."""


class PeerGoneError(Exception):
    """Raised when the other end of the channel has closed it."""


class Deframer:
    """Cuts a stream of bytes into frames' bodies, however the stream is split."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[memoryview]:
        """Bodies of the frames that `data` completes, in order; raises BrokenChannelError."""
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
        view, bodies, position = memoryview(data), [], 0
        while len(data) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, position)
            if length > LONGEST_FRAME:
                raise BrokenChannelError(f"a frame of {length} bytes is announced; at most {LONGEST_FRAME} make sense")
            end = position + _LENGTH.size + length
            if len(data) < end:
                break
            bodies.append(view[position + _LENGTH.size : end])
            position = end
        self._rest = bytearray(view[position:])
        return bodies


def frame(body: bytes) -> bytes:
    """`body` with its length in front."""
    return _LENGTH.pack(len(body)) + body


class FrontEndChannel(asyncio.Protocol):
    """The front end's end: `post` collects messages, one frame leaves a loop turn; arrivals go to `on_messages`.

    `on_lost` is called once when the executor has closed its end or sent what is no frame.
    """

    def __init__(self, on_messages: Callable[[list[ToFrontEnd]], None], on_lost: Callable[[], None]) -> None:
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[ToFrontEnd]).decode
        self._deframer = Deframer()
        self._outbox: list[ToExecutor] = []
        self._flushing = False  # a flush is due this turn
        self._blocked = False  # the socket is full: keep messages until it drains
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def connect(
        cls, connection: socket.socket, on_messages: Callable[[list[ToFrontEnd]], None], on_lost: Callable[[], None]
    ) -> FrontEndChannel:
        """Take over `connection` on the running loop."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(on_messages, on_lost), sock=connection)
        return channel

    def post(self, message: ToExecutor) -> None:
        """Send with the other messages of this loop turn; silently dropped once the peer has gone (see `on_lost`)."""
        self._outbox.append(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close without calling `on_lost`."""
        self._on_lost = _ignore
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._flushing = False
        if self._blocked or self._transport is None or not self._outbox:
            return
        outbox, self._outbox = self._outbox, []
        self._transport.write(frame(self._encode(outbox)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop: the channel is open."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are not subclasses of it
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Called by the loop: bytes arrived."""
        try:
            for body in self._deframer.feed(data):
                self._on_messages(self._decode(body))
        except (BrokenChannelError, msgspec.DecodeError):
            assert self._transport is not None
            self._transport.abort()

    def pause_writing(self) -> None:
        """Called by the loop: the socket takes no more for now."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Called by the loop: the socket takes bytes again."""
        self._blocked = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """Called by the loop: the executor has gone."""
        self._transport = None
        self._outbox.clear()
        self._on_lost()


def _ignore() -> None:
    """What a closed channel calls."""


class ExecutorChannel:
    """The executor's end, for one thread (`wake` excepted); takes over `connection`.

    Every method raises PeerGoneError when the front end has closed its end: the executor has nobody left to serve.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)
        self._connection = connection
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(list[ToExecutor]).decode
        self._deframer = Deframer()
        self._outbox: list[ToFrontEnd] = []
        self._unsent = bytearray()
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._fd = connection.fileno()

    def receive(self) -> list[ToExecutor]:
        """All messages that have arrived, without waiting; raises BrokenChannelError, PeerGoneError."""
        messages: list[ToExecutor] = []
        while True:
            try:
                data = self._connection.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return messages
            except ConnectionError:
                data = b""
            if not data:
                raise PeerGoneError("the front end has closed the channel")
            for body in self._deframer.feed(data):
                try:
                    messages += self._decode(body)
                except msgspec.DecodeError as error:
                    raise BrokenChannelError(f"a frame holds no messages: {error}") from error
            if len(data) < _RECEIVE_BYTES:
                return messages

    def wait(self, timeout: float | None) -> None:
        """Wait until messages arrive, `wake` is called, or `timeout` seconds are over (None: for ever).

        Sends meanwhile what an earlier `flush` could not.
        """
        # Not poll: it counts in milliseconds, and a scheduler waits for less. An executor's descriptors are small.
        writable = (self._fd,) if self._unsent else ()
        seconds = None if timeout is None else max(timeout, 0.0)
        ready, sendable, _ = select.select((self._fd, self._alarm), writable, (), seconds)
        if self._alarm in ready:
            os.eventfd_read(self._alarm)
        if sendable:
            self._send()

    def wake(self) -> None:
        """End a `wait` at once, the running one or the next; from any thread."""
        os.eventfd_write(self._alarm, 1)

    def post(self, message: ToFrontEnd) -> None:
        """Send with the next `flush`."""
        self._outbox.append(message)

    def flush(self) -> None:
        """Send what was posted, as one frame; what the socket does not take now is sent during `wait`s."""
        if not self._outbox:
            return
        self._unsent += frame(self._encode(self._outbox))
        self._outbox.clear()
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise PeerGoneError("the front end has closed the channel") from error

    def close(self) -> None:
        """Close both the socket and the alarm."""
        self._connection.close()
        os.close(self._alarm)
