"""Stands in for exactly the calls of CuPy that the cuda device makes, and refuses what CUDA would refuse, or answer at
random.

Nothing runs when it is asked for: work waits in its stream until somebody synchronises (`strict_world`), so what is
read too early is poison. Kernels are the device's own text, run by `kernels_on_host`.
"""

from __future__ import annotations

import ctypes
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
from kernels_on_host import HostKernels
from strict_cublas import Cublas
from strict_world import (
    Block,
    CUDADriverError,
    CUDARuntimeError,
    Event,
    Operation,
    OutOfMemoryError,
    RefusedError,
    Stream,
    World,
    granules,
)

_KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')


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
            world.access(operation, granules(source, size), write=False)
            world.access(operation, granules(target, size), write=True)
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
