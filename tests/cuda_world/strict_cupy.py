"""Stands in for exactly the calls of CuPy and cuBLAS that the cuda device makes, and refuses what CUDA would refuse,
or answer at random.

Nothing runs when it is asked for: work waits in its stream until somebody synchronises, so what is read too early is
poison. Every access carries its stream's vector clock: two accesses to the same 256 bytes, one of them a write, must be
ordered by a stream, an event or the host. Kernels are the device's own text, run by `kernels_on_host`.
"""

from __future__ import annotations

import ctypes
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from kernels_on_host import HostKernels

GRANULE = 256  # bytes; as in shim.hpp
POISON = 0xA5
_KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')


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
        alive = [block for one in self.blocks.values() if (block := one()) is not None]
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


def _granules(start: int, nbytes: int) -> range:
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


class MemoryPointer:
    def __init__(self, world: World, block: Block, offset: int = 0) -> None:
        self._world, self._block, self._offset = world, block, offset
        self.ptr = block.start + offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self._world, self._block, self._offset + offset)

    def copy_from_host_async(self, mem: int | ctypes.c_void_p, size: int, stream: Stream) -> None:
        self._copy(_address(mem), self.ptr, size, stream, to_device=True)

    def copy_to_host_async(self, mem: int | ctypes.c_void_p, size: int, stream: Stream) -> None:
        self._copy(self.ptr, _address(mem), size, stream, to_device=False)

    def _copy(self, source: int, target: int, size: int, stream: Stream, *, to_device: bool) -> None:
        world = self._world
        ends = ((source, to_device), (target, not to_device))

        def copy(operation: Operation) -> None:
            for address, pinned in ends:
                world.inside(address, size, pinned=pinned)
            world.access(operation, _granules(source, size), write=False)
            world.access(operation, _granules(target, size), write=True)
            ctypes.memmove(target, source, size)

        assert size > 0, "CUDA takes it, but nobody means it"
        for address, pinned in ends:
            world.inside(address, size, pinned=pinned)
        world.enqueue(copy, world.stream(stream))


def _address(mem: int | ctypes.c_void_p) -> int:
    return int(mem.value or 0) if isinstance(mem, ctypes.c_void_p) else mem


class Pool:
    def __init__(self, world: World) -> None:
        self._world, self._limit = world, world.memory

    def set_limit(self, *, size: int) -> None:
        self._limit = size

    def used_bytes(self) -> int:
        return self._world.used

    def malloc(self, size: int) -> MemoryPointer:
        world = self._world
        with world.lock:
            world.check()
            world.stream()
            world.uncaptured("memory is allocated before")
            if world.used + size > self._limit:
                raise OutOfMemoryError(f"out of memory allocating {size} bytes (allocated so far: {world.used} bytes)")
            world.used += size
            return MemoryPointer(world, Block(world, size, pinned=False))


def _pinned(world: World, size: int) -> Any:
    world.check()
    world.uncaptured("memory is allocated before")
    block = Block(world, size, pinned=True)
    # An array of ctypes has the buffer protocol, as CuPy's pointer has.
    kind = type("Pinned", (ctypes.c_uint8 * size,), {})
    pointer = kind.from_address(block.start)
    pointer.block, pointer.ptr = block, block.start
    return pointer


class Function:
    def __init__(self, world: World, kernels: HostKernels, name: str) -> None:
        self._world, self._kernels, self._name = world, kernels, name

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        world = self._world
        limits = (2**31 - 1, 65535, 65535)
        if not all(0 < one <= limit for one, limit in zip(grid, limits, strict=False)):
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: a grid of {grid}")
        if not all(isinstance(one, np.generic) for one in args):
            raise RefusedError("pass NumPy scalars: CuPy takes a Python number for 64 bits, whatever the kernel has")

        def run(operation: Operation) -> None:
            read, written = self._kernels.launch_recorded(self._name, grid, block, args, world.ranges(pinned=False))
            world.access(operation, read, write=False)
            world.access(operation, written, write=True)

        stream = world.stream()
        world.kernels += stream.captured is None
        world.enqueue(run, stream, kernel=True)


class Module:
    def __init__(self, world: World, code: str, options: tuple[str, ...]) -> None:
        assert all(one.startswith("--") for one in options)
        self._world, self._code, self._names = world, code, _KERNEL.findall(code)
        self._kernels: HostKernels | None = None

    def compile(self) -> None:
        self._kernels = HostKernels(self._code, self._names)

    def get_function(self, name: str) -> Function:
        if self._kernels is None:
            raise RefusedError("would compile at the first launch, on the way to a deadline")
        if name not in self._names:
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: {name}")
        return Function(self._world, self._kernels, name)


class Device:
    def __init__(self, index: int) -> None:
        assert index == 0

    def use(self) -> None:
        """The only one there is."""


class Cublas:
    """`computed`: in which precision each product was. A handle's mode holds until it is set again, as in cuBLAS."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls = {"stride": 0, "pointer": 0}
        self.computed: list[str] = []
        self._modes: dict[int, int] = {}

    def handle(self) -> int:
        thread = threading.get_ident()
        return self._world.handles.setdefault(thread, 0x1000 + len(self._world.handles))

    def setMathMode(self, handle: int, mode: int) -> None:  # noqa: N802 - cuBLAS's
        assert mode in {0, 3}, "cuBLAS's default, or TF32"
        self._own(handle)
        self._modes[handle] = mode

    def _own(self, handle: int) -> None:
        if self._world.handles.get(threading.get_ident()) != handle:
            raise RefusedError("wrong thread: a cuBLAS handle belongs to the thread that it was made for")

    def gemmStridedBatchedEx(  # noqa: N802 - cuBLAS's
        self, handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int, lda: int,
        a_step: int, b: int, b_type: int, ldb: int, b_step: int, beta: int, c: int, c_type: int, ldc: int, c_step: int,
        count: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (a_type, b_type, c_type, algorithm) == (0, 0, 0, -1), "float32 operands"
        assert compute in {68, 77}, "float32, or with TF32"
        self.calls["stride"] += 1
        problems = [tuple(base + 4 * step * index for base, step in ((a, a_step), (b, b_step), (c, c_step)))
                    for index in range(count)]  # fmt: skip
        self._multiply(handle, (transa, transb), (m, n, k), (alpha, beta), lambda _: problems, (lda, ldb, ldc),
                       tf32=compute == 77)  # fmt: skip

    def sgemmBatched(  # noqa: N802 - cuBLAS's
        self, handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, lda: int, b: int,
        ldb: int, beta: int, c: int, ldc: int, count: int,
    ) -> None:  # fmt: skip
        self.calls["pointer"] += 1

        def problems(operation: Operation) -> list[tuple[int, ...]]:
            columns = []
            for table in (a, b, c):
                self._world.inside(table, 8 * count, pinned=False)
                self._world.access(operation, _granules(table, 8 * count), write=False)
                columns.append(np.ctypeslib.as_array((ctypes.c_uint64 * count).from_address(table)).tolist())
            return list(zip(*columns, strict=True))

        self._multiply(handle, (transa, transb), (m, n, k), (alpha, beta), problems, (lda, ldb, ldc))

    def _multiply(
        self, handle: int, transposed: tuple[int, int], extents: tuple[int, int, int], scalars: tuple[int, int],
        problems: Callable[[Operation], list[tuple[int, ...]]], leading: tuple[int, int, int], *, tf32: bool = False,
    ) -> None:  # fmt: skip
        world = self._world
        self._own(handle)
        tf32 = tf32 or self._modes.get(handle) == 3
        if tf32 and world.capability < (8, 0):
            raise RefusedError("TF32 on a GPU that has none: cuBLAS computes float32, and nobody is told")
        self.computed.append("tf32" if tf32 else "float32")
        m, n, k = extents
        alpha, beta = (ctypes.c_float.from_address(one).value for one in scalars)  # read by the host, at once
        shapes = ((k, m) if transposed[0] else (m, k), (n, k) if transposed[1] else (k, n), (m, n))
        for (rows, _), step in zip(shapes, leading, strict=True):
            if step < rows:
                raise CUDARuntimeError("CUBLAS_STATUS_INVALID_VALUE: a leading dimension is less than the rows")

        def run(operation: Operation) -> None:
            for addresses in problems(operation):
                views = []
                for number, (address, (rows, columns), step) in enumerate(zip(addresses, shapes, leading, strict=True)):
                    nbytes = 4 * ((columns - 1) * step + rows)
                    world.inside(address, nbytes, pinned=False)
                    world.access(operation, _granules(address, nbytes), write=number == 2)
                    flat = np.ctypeslib.as_array((ctypes.c_float * (nbytes // 4)).from_address(address))
                    views.append(np.lib.stride_tricks.as_strided(flat, (rows, columns), (4, 4 * step)))
                a, b, c = (_to_tf32(views[0]), _to_tf32(views[1]), views[2]) if tf32 else views
                product = alpha * ((a.T if transposed[0] else a) @ (b.T if transposed[1] else b))
                c[...] = product if beta == 0 else product + beta * c

        world.enqueue(run, world.stream())


def _to_tf32(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest float with 10 bits of mantissa, ties away from zero."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)


def modules(world: World) -> tuple[Any, Cublas]:
    """What stands for `cupy`, and for `cupy_backends.cuda.libs.cublas`."""

    def elapsed(begin: Event, end: Event) -> float:
        if not (begin.timing and end.timing):
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event without timing")
        if begin.at is None or end.at is None:
            raise CUDARuntimeError("cudaErrorNotReady: an event has not happened yet")
        return (end.at - begin.at) * 1e3

    cublas = Cublas(world)
    cuda = SimpleNamespace(
        Device=Device,
        Event=lambda *, disable_timing: Event(world, disable_timing=disable_timing),
        MemoryPool=lambda: Pool(world),
        Stream=lambda *, non_blocking, priority: Stream(world, non_blocking=non_blocking, priority=priority),
        alloc_pinned_memory=lambda size: _pinned(world, size),
        device=SimpleNamespace(get_cublas_handle=cublas.handle),
        driver=SimpleNamespace(CUDADriverError=CUDADriverError),
        get_elapsed_time=elapsed,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: 12090,
            getDeviceProperties=lambda _: dict(
                zip(("name", "major", "minor"), (b"stand-in", *world.capability), strict=True)
            ),
            memGetInfo=lambda: (world.memory - world.used, world.memory),
        ),
    )
    modules = {"RawModule": lambda *, code, options: Module(world, code, options), "__version__": "0"}
    return SimpleNamespace(cuda=cuda, **modules), cublas
