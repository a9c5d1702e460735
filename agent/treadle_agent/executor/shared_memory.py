"""The memory that holds requests' tensors: a memfd of the front end, mapped by the executor process too.

Not `multiprocessing.shared_memory`: its names live in /dev/shm (64 MiB in a pod), and Python 3.11's resource tracker
unlinks them when any process that attached ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from multiprocessing import reduction
from typing import Any, Protocol, Self

import numpy as np

from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.program.model import Shape, TensorType
from treadle_agent.program.ops.registry import Array

DEFAULT_BYTES = 256 << 20  # address space: pages take memory when they are first written


class _Descriptor(Protocol):
    def detach(self) -> int: ...


class SharedMemory:
    """`size` bytes behind the file descriptor `fd`, which this object owns; `buffer` is all of them, writeable.

    Pickles as an argument of a process that is being started (the descriptor goes with it), and nowhere else.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)
        self.buffer = memoryview(self._map)
        self.record = FlightRecord(self.buffer)

    @classmethod
    def create(cls, size: int = DEFAULT_BYTES) -> Self:
        """New memory of fixed size; zeros, and sparse."""
        fd = os.memfd_create("treadle", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        # A truncated file would kill the front end with SIGBUS: a broken executor must not be able to do that.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(fd, size)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (reduction.DupFd(self.fd), self.size)

    def view(self, offset: int, type_: TensorType) -> Array:
        """The tensor at `offset`, writeable, without a copy."""
        return np.ndarray(type_.shape, type_.dtype, self._map, offset)

    def array(self, dtype: np.dtype[Any], shape: Shape, offset: int) -> Array:
        """The same, for a caller that has taken the type apart before."""
        return np.ndarray(shape, dtype, self._map, offset)

    def close(self) -> None:
        """Let go of the memory; it is unmapped when the last view of it is gone."""
        self.record.release()
        self.buffer.release()
        with contextlib.suppress(BufferError):  # a view is still held: its end unmaps
            self._map.close()
        os.close(self.fd)


def _attach(descriptor: _Descriptor, size: int) -> SharedMemory:
    return SharedMemory(descriptor.detach(), size)
