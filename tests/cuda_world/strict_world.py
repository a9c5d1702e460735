"""The stand-in's device: streams whose work is deferred, events, captured graphs, and who touched which memory when.

Every access carries its stream's vector clock: two accesses to the same 256 bytes, one of them a write, must be ordered
by a stream, an event or the host.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np

GRANULE = 256  # bytes; as in shim.hpp
POISON = 0xA5


class RefusedError(AssertionError):
    """Raised when the device does what CUDA refuses or leaves undefined; a test must fail then."""


class CUDARuntimeError(RuntimeError):
    """As CuPy's: an error of the device. After an injected one, every call raises it."""


class CUDADriverError(RuntimeError):
    """As CuPy's."""


class OutOfMemoryError(MemoryError):
    """As CuPy's: the pool's limit is reached."""


Clock = dict[int, int]


class Operation:
    """Work in a stream: `clock` is what is known to have happened before it."""

    def __init__(self, stream: Stream, work: Callable[[Operation], None]) -> None:
        stream.sequence += 1
        stream.clock[stream.id] = stream.sequence
        self.stream, self.sequence, self.work = stream, stream.sequence, work
        self.clock = dict(stream.clock)


class Block:
    """One allocation, of the device or pinned."""

    def __init__(self, world: World, nbytes: int, *, pinned: bool) -> None:
        self.buffer = np.full(nbytes + GRANULE, POISON, np.uint8)
        self.start = -(-self.buffer.ctypes.data // GRANULE) * GRANULE
        self.nbytes, self.pinned = nbytes, pinned
        world.blocks[self.start] = weakref.ref(self)
        world.graveyard.append(self.buffer)  # an address is never used twice
        weakref.finalize(self, world.freed, self.start, nbytes, pinned)


class World:
    """The device: its memory, and who touched what."""

    def __init__(self, memory: int = 1 << 30, capability: tuple[int, int] = (9, 0)) -> None:
        self.memory, self.used, self.capability = memory, 0, capability
        self.lock = threading.RLock()
        self.blocks: dict[int, weakref.ref[Block]] = {}
        self.graveyard: list[Any] = []
        self.host: Clock = {}  # what the host knows to have happened
        self.writes: dict[int, tuple[int, int]] = {}  # granule: stream, sequence
        self.reads: dict[int, dict[int, int]] = {}
        self.streams: list[weakref.ref[Stream]] = []
        self.current = threading.local()
        self.handles: dict[int, int] = {}
        self.operations = 0
        self.kernels = 0  # launched one by one
        self.graphs: list[int] = []  # launched: how many kernels each has
        self.fails_at: int | None = None
        self.broken = False

    def freed(self, start: int, nbytes: int, pinned: bool) -> None:
        self.blocks.pop(start, None)
        if not pinned:
            self.used -= nbytes

    def check(self) -> None:
        """Raise the sticky error, once it happened."""
        if self.broken:
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    def enqueue(self, work: Callable[[Operation], None], stream: Stream, *, kernel: bool = False) -> None:
        with self.lock:
            self.check()
            if stream.captured is not None:
                if not kernel:
                    raise RefusedError("in capture: only kernels are captured here")
                stream.captured.append(work)
                return
            self.operations += 1
            if self.fails_at is not None and self.operations >= self.fails_at:
                self.broken = True
                self.check()
            _merge(stream.clock, self.host)
            stream.queue.append(Operation(stream, work))

    def uncaptured(self, what: str) -> None:
        """Refuse what a thread must not do while its current stream captures."""
        stream = getattr(self.current, "stream", None)
        if stream is not None and stream.captured is not None:
            raise RefusedError(f"in capture: {what}")

    def stream(self, given: Stream | None = None) -> Stream:
        """The stream that a call uses."""
        stream = given or getattr(self.current, "stream", None)
        if stream is None:
            raise RefusedError("no stream is current: the legacy default stream waits for all others")
        if stream.thread != threading.get_ident():
            raise RefusedError("wrong thread: a stream belongs to the thread that made it")
        return stream

    def ranges(self, *, pinned: bool) -> list[tuple[int, int]]:
        known = self.blocks.copy()  # at once: other threads allocate meanwhile, and what they let go is taken out
        alive = [block for one in known.values() if (block := one()) is not None]
        return [(one.start, one.start + one.nbytes) for one in alive if one.pinned == pinned]

    def inside(self, start: int, nbytes: int, *, pinned: bool) -> None:
        if not any(low <= start and start + nbytes <= high for low, high in self.ranges(pinned=pinned)):
            kind = "pinned" if pinned else "device"
            raise RefusedError(f"{nbytes} bytes at {start:#x} do not lie in live {kind} memory")

    def access(self, operation: Operation, granules: Iterator[int] | Sequence[int], *, write: bool) -> None:
        """Hold an access against all before it that it is not ordered behind."""
        stream, clock = operation.stream.id, operation.clock
        for granule in granules:
            wrote = self.writes.get(granule)
            if wrote is not None and wrote[0] != stream and clock.get(wrote[0], 0) < wrote[1]:
                raise RefusedError(f"race: {granule * GRANULE:#x} was written by another stream, with no event between")
            if write:
                for reader, sequence in self.reads.pop(granule, {}).items():
                    if reader != stream and clock.get(reader, 0) < sequence:
                        raise RefusedError(
                            f"race: {granule * GRANULE:#x} is read by another stream, with no event between"
                        )
                self.writes[granule] = (stream, operation.sequence)
            else:
                self.reads.setdefault(granule, {})[stream] = operation.sequence


def _merge(clock: Clock, other: Clock) -> None:
    for stream, sequence in other.items():
        clock[stream] = max(clock.get(stream, 0), sequence)


def granules(start: int, nbytes: int) -> range:
    return range(start // GRANULE, (start + nbytes - 1) // GRANULE + 1)


class Stream:
    def __init__(self, world: World, *, non_blocking: bool, priority: int) -> None:
        assert non_blocking, "a blocking stream waits for the legacy default stream"
        assert -5 <= priority <= 0, "out of the range of priorities"
        with world.lock:
            self.id = len(world.streams)
            world.streams.append(weakref.ref(self))
        world.graveyard.append(self)  # its work goes on, whoever forgets it
        self.world, self.thread = world, threading.get_ident()
        self.queue: deque[Operation] = deque()
        self.captured: list[Callable[[Operation], None]] | None = None  # None: not capturing
        self.priority = priority
        self.clock: Clock = {}
        self.sequence = 0
        self._outer: list[Stream | None] = []

    def __enter__(self) -> Self:
        self.world.stream(self)
        self._outer.append(getattr(self.world.current, "stream", None))
        self.world.current.stream = self
        return self

    def __exit__(self, *_: object) -> None:
        self.world.current.stream = self._outer.pop()

    def begin_capture(self) -> None:
        self.world.check()
        if self.world.stream(self).captured is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream captures already")
        self.captured = []

    def end_capture(self) -> Graph:
        self.world.check()
        captured, self.captured = self.world.stream(self).captured, None
        if captured is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream does not capture")
        return Graph(self.world, captured, self.priority)

    def wait_event(self, event: Event) -> None:
        with self.world.lock:
            if event.recorded is None:
                raise RefusedError("waits for an event that was never recorded: CUDA would not wait at all")
            stream, sequence, clock = event.recorded
            _merge(self.clock, clock)
            self.world.enqueue(lambda _: stream.drain(sequence), self.world.stream(self))

    def synchronize(self) -> None:
        with self.world.lock:
            self.world.check()
            if self.captured is not None:
                raise RefusedError("in capture: nothing runs, so nothing can be waited for")
            self.drain(self.sequence)
            _merge(self.world.host, self.clock)

    def drain(self, sequence: int) -> None:
        """Run what was asked of this stream up to an operation."""
        while self.queue and self.queue[0].sequence <= sequence:
            operation = self.queue.popleft()
            operation.work(operation)


class Graph:
    """What was captured; it runs when it is launched, as often as that."""

    def __init__(self, world: World, captured: list[Callable[[Operation], None]], priority: int) -> None:
        self._world, self._captured, self.priority = world, captured, priority

    def upload(self, stream: Stream) -> None:
        if self._world.stream(stream).captured is not None:
            raise RefusedError("in capture: a graph is uploaded beside it")

    def launch(self, stream: Stream | None = None) -> None:
        stream = self._world.stream(stream)
        if stream.captured is not None:
            raise RefusedError("in capture: graphs in graphs are not made here")
        self._world.graphs.append(len(self._captured))
        for work in self._captured:
            self._world.enqueue(work, stream, kernel=True)


class Event:
    def __init__(self, world: World, *, disable_timing: bool) -> None:
        self._world, self.timing = world, not disable_timing
        self.recorded: tuple[Stream, int, Clock] | None = None
        self.at: float | None = None

    def record(self, stream: Stream) -> None:
        def happen(_: Operation) -> None:
            self.at = time.perf_counter()

        with self._world.lock:
            self.at = None
            self._world.enqueue(happen, self._world.stream(stream))
            self.recorded = (stream, stream.sequence, dict(stream.clock))

    def synchronize(self) -> None:
        with self._world.lock:
            self._world.check()
            self._world.uncaptured("nothing is waited for")
            if self.recorded is None:
                raise RefusedError("synchronises with an event that was never recorded")
            stream, sequence, clock = self.recorded
            stream.drain(sequence)
            _merge(self._world.host, clock)
