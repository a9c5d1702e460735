"""Large messages between two processes, received in place: no byte is copied with the interpreter's lock held."""

from __future__ import annotations

import socket
import struct
import time

import numpy as np

_LENGTH = struct.Struct("<Q")


class Line:
    """One end of a stream socket, which it takes over."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        self._connection = connection
        self._until: float | None = None  # of CLOCK_MONOTONIC

    def allow(self, seconds: float) -> None:
        """What follows may take so long, all together; beyond that `send` and `receive` raise TimeoutError."""
        self._until = time.monotonic() + seconds

    def send(self, message: bytes | bytearray | memoryview) -> None:
        """Send a message; raises OSError."""
        self._set_timeout()
        self._connection.sendall(_LENGTH.pack(len(message)))
        self._connection.sendall(message)

    def receive(self) -> memoryview:
        """The next message; raises EOFError where the other end is closed, OSError."""
        (size,) = _LENGTH.unpack(self._fill(memoryview(bytearray(_LENGTH.size))))
        return self._fill(np.empty(size, np.uint8).data)

    def close(self) -> None:
        """Close this end."""
        self._connection.close()

    def _fill(self, buffer: memoryview) -> memoryview:
        filled = 0
        while filled < len(buffer):
            self._set_timeout()
            count = self._connection.recv_into(buffer[filled:])
            if not count:
                raise EOFError
            filled += count
        return buffer

    def _set_timeout(self) -> None:
        if self._until is not None:
            self._connection.settimeout(max(self._until - time.monotonic(), 0.001))
