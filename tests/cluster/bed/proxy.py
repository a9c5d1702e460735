"""A TCP proxy whose network can fail: refuse, go silent without a FIN, and come back."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Self

from bed.addresses import LOOPBACK

CHUNK = 65536  # bytes
ACTION = 10.0  # seconds until an action must have been carried out
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Proxy:
    """Forwards connections to `target` (host, port), from a thread of its own; starts open.

    | state | connections that are there | new ones |
    | --- | --- | --- |
    | open | forwarded | forwarded |
    | cut | reset | refused |
    | blackholed | silent, for ever: no data, no FIN, no reset | wait, and are forwarded after `restore` |

    The last row is what a lost route or a forgotten NAT entry does to a client whose kernel repeats its SYN.
    """

    def __init__(self, target: tuple[str, int], port: int) -> None:
        self.port = port
        self.url = f"https://{LOOPBACK}:{port}"
        self.accepted = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()  # both ends of every connection, silent ones too
        self._tasks: set[asyncio.Task[None]] = set()  # one for each accepted connection that is not silent
        self._forwarding: set[asyncio.Task[None]] = set()  # those of them that do not wait
        self._passing = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ACTION)
        self._loop.close()

    def cut(self) -> None:
        """End all connections with a reset, and refuse new ones."""
        self._do(self._cut())

    def blackhole(self) -> None:
        """Let nothing through any more, without telling anybody."""
        self._do(self._blackhole())

    def restore(self) -> None:
        """Serve new connections, and those that have waited; silent ones stay silent."""
        self._do(self._restore())

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(ACTION)

    async def _restore(self) -> None:
        self._passing.set()
        if self._listener is None:
            self._listener = socket.create_server((LOOPBACK, self.port), backlog=128)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _blackhole(self) -> None:
        self._passing.clear()
        await _cancel(self._forwarding)

    async def _cut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await _cancel(self._tasks)
        for end in self._sockets:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            end.close()
        self._sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it went away again
            return
        self.accepted += 1
        self._sockets.add(client)
        task = self._loop.create_task(self._carry(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._forwarding.discard)

    async def _carry(self, client: socket.socket) -> None:
        """One connection to its end; when cancelled, it is left as it is: `cut` resets it, `blackhole` does not."""
        client.setblocking(False)
        await self._passing.wait()
        task = asyncio.current_task()
        assert task is not None
        self._forwarding.add(task)
        server = socket.socket()
        server.setblocking(False)
        self._sockets.add(server)
        try:
            await self._loop.sock_connect(server, self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(client, server))
                both.create_task(self._pump(server, client))
        except* OSError:
            pass  # either end went away
        for end in (client, server):
            self._sockets.discard(end)
            end.close()

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry one direction to its end, and pass the end on."""
        while data := await self._loop.sock_recv(source, CHUNK):
            await self._loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
