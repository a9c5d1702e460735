"""Sends a schedule through a pool of connections and records what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence

from treadle.load.answers import labels_of, tier_of
from treadle.load.connection import Connection
from treadle.load.records import LOST, PACK, UNANSWERED
from treadle.load.schedule import Schedule
from treadle.load.targets import Target
from treadle.load.timer import Timer

_RECONNECT_SECONDS = 0.05
# Connections opened together, then a pause to accept them: a server's backlog holds about 100, and a connection
# beyond it is tried again after a whole second.
_AT_ONCE, _ACCEPT_SECONDS = 64, 0.01
_OK = 200


class Client:
    """One run: `connect`, then `run` once; finished requests are taken with `take` at any time.

    A request due while every connection is busy waits for the next free one, and its wait counts as latency. Nothing
    is retried.
    """

    def __init__(self, targets: Sequence[Target], schedule: Schedule, host: str, port: int, *, keep_body: bool) -> None:
        self._host, self._port, self._keep_body = host, port, keep_body
        self._targets = targets
        self._messages = [
            [_message(target.path, host, port, v.head, v.body) for v in target.variants] for target in targets
        ]
        self._times: list[float] = schedule.times.tolist()
        self._target_of: list[int] = schedule.targets.tolist()
        self._variant_of = _variants(self._target_of, [len(target.variants) for target in targets])
        self._seconds = schedule.seconds
        self._sent = [0.0] * len(schedule)
        self._next = 0  # the first request that is not due yet
        self._left = len(schedule)
        self._waiting: deque[int] = deque()
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._reconnects: set[asyncio.Task[None]] = set()
        self._limit = 0
        self._start = 0.0
        self._ending = False
        self._done = asyncio.Event()
        self._rows: list[bytes] = []
        self._bodies: list[bytes] = []
        self._tiers: dict[str, int] = {}

    async def connect(self, connections: int) -> None:
        """Open the pool; raises OSError when the server does not listen."""
        self._limit = connections
        for begin in range(0, connections, _AT_ONCE):
            await asyncio.gather(*(self._connect() for _ in range(min(_AT_ONCE, connections - begin))))
            await asyncio.sleep(_ACCEPT_SECONDS)

    async def run(self, start: float, grace: float) -> None:
        """Send everything, the first at `start` (CLOCK_MONOTONIC); returns when all is answered, at the latest `grace`
        seconds after the schedule's end: what is open then is recorded as UNANSWERED.
        """
        self._start = start
        self._timer = Timer(asyncio.get_running_loop(), self._due)
        self._timer.set(start)
        try:
            async with asyncio.timeout(max(0.0, start - time.monotonic()) + self._seconds + grace):
                await self._done.wait()
        except TimeoutError:
            self._give_up()
        self._ending = True
        self._timer.close()
        for task in self._reconnects:
            task.cancel()
        for connection in self._connections:
            connection.close()

    def take(self) -> tuple[list[bytes], tuple[str, ...], tuple[bytes, ...]]:
        """Packed records, tier names and bodies since the last call."""
        rows, self._rows = self._rows, []
        bodies, self._bodies = self._bodies, []
        return rows, tuple(self._tiers), tuple(bodies)

    def opened(self, connection: Connection) -> None:
        """See `connection.Owner`."""
        self._connections.add(connection)
        self._ready(connection)

    def answered(self, connection: Connection, request: int, status: int, head: bytes, body: bytes) -> None:
        """See `connection.Owner`."""
        finished = time.monotonic()
        if not connection.closing:
            self._ready(connection)  # before the books: another request may be waiting
        self._record(request, finished, status, head, body)

    def lost(self, connection: Connection, request: int) -> None:
        """See `connection.Owner`."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._ending:
            return
        if request >= 0:
            self._record(request, time.monotonic(), LOST, b"", b"")
        self._reopen()

    def _due(self) -> None:
        now, times, count = time.monotonic() - self._start, self._times, len(self._times)
        while self._next < count and times[self._next] <= now:
            self._waiting.append(self._next)
            self._next += 1
        while self._waiting and self._idle:
            self._send(self._idle.pop(), self._waiting.popleft())
        if self._waiting:
            self._reopen()
        if self._next < count:
            self._timer.set(self._start + times[self._next])
        elif not count:
            self._done.set()

    def _ready(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _send(self, connection: Connection, request: int) -> None:
        self._sent[request] = time.monotonic()
        connection.send(request, self._messages[self._target_of[request]][self._variant_of[request]])

    def _record(self, request: int, finished: float, status: int, head: bytes, body: bytes) -> None:
        index, variant = self._target_of[request], self._variant_of[request]
        tier, rows, correct = -1, 0, 0
        if status == _OK:
            target = self._targets[index]
            labels = target.variants[variant].labels
            try:
                name = tier_of(head, body)
                tier = self._tiers.setdefault(name, len(self._tiers)) if name else -1
                if target.output:
                    given = labels_of(head, body, target.output)
                    rows = len(labels)
                    correct = int((given == labels).sum()) if len(given) == rows else 0
            except (ValueError, KeyError):  # not the protocol's answer
                status = LOST
        sent = self._sent[request] - self._start if self._sent[request] else float("nan")
        self._rows.append(
            PACK.pack(
                request, index, variant, self._times[request], sent, finished - self._start, status, tier, rows, correct
            )
        )
        if self._keep_body:
            self._bodies.append(body)
        self._left -= 1
        if not self._left:
            self._done.set()

    def _give_up(self) -> None:
        now = time.monotonic()
        open_ = [connection.request for connection in self._connections if connection.request >= 0]
        for request in [*open_, *self._waiting, *range(self._next, len(self._times))]:
            self._record(request, now, UNANSWERED, b"", b"")

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), self._host, self._port)

    def _reopen(self) -> None:
        """Replace lost connections, as many as requests wait for: servers close idle ones, which costs nobody."""
        missing = self._limit - len(self._connections)
        for _ in range(min(missing, len(self._waiting)) - len(self._reconnects)):
            task = asyncio.get_running_loop().create_task(self._reconnect())
            self._reconnects.add(task)
            task.add_done_callback(self._reconnects.discard)

    async def _reconnect(self) -> None:
        while self._waiting and not self._ending:
            with contextlib.suppress(OSError):
                await self._connect()
                return
            await asyncio.sleep(_RECONNECT_SECONDS)


def _message(path: str, host: str, port: int, head: bytes, body: bytes) -> bytes:
    host = f"[{host}]" if ":" in host else host
    first = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
    return b"".join((first.encode(), head, b"\r\n", body))


def _variants(targets: Sequence[int], counts: Sequence[int]) -> list[int]:
    """Each target's requests take its variants in turn."""
    seen = [0] * len(counts)
    variants = []
    for target in targets:
        variants.append(seen[target] % counts[target])
        seen[target] += 1
    return variants
