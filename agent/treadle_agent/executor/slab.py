"""The weights of one architecture: a row a tier, equal strides, so that batched GEMM reads many tenants' by stride."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.ops.registry import Array
from treadle_api.tenant import Precision

PAGE_ROWS = 64  # rows of one reservation: address space only, memory is taken row by row as tiers are loaded
MAP_NORESERVE = 0x4000  # Linux; not exported by every Python this runs on


def reserve(nbytes: int) -> mmap.mmap:
    """Zeroed private memory that costs nothing until it is touched."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    return mmap.mmap(-1, max(nbytes, mmap.PAGESIZE), flags=flags)


class Weights(ABC):
    """Rows of weights of one architecture, wherever the device has them, shared by content: two tiers with one model
    hold one row.

    `entries`: type and byte offset of each weight in weights.bin; `row_bytes`: what a row takes here. `precision`: of
    the tiers whose weights these are.
    """

    precision = Precision.FLOAT32

    def __init__(self, entries: Sequence[WeightEntry], row_bytes: int) -> None:
        self.entries = tuple(entries)
        self.row_bytes = row_bytes
        self._rows: dict[str, int] = {}
        self._users: dict[int, int] = {}

    def __len__(self) -> int:
        """Rows held."""
        return len(self._users)

    @property
    def nbytes(self) -> int:
        """Bytes of weights held."""
        return len(self._users) * self.row_bytes

    def acquire(self, digest: str, source: Path) -> int:
        """The row that holds the model `digest`, filled from `source` (weights.bin) if it is new.

        Raises:
            OSError: `source` cannot be read, or is shorter than a row.
        """
        row = self._rows.get(digest)
        if row is None:
            row = self._load(source)
            self._rows[digest] = row
            self._users[row] = 0
        self._users[row] += 1
        return row

    def release(self, digest: str) -> None:
        """Give up one use of a model's row; with the last one its memory goes back."""
        row = self._rows[digest]
        self._users[row] -= 1
        if not self._users[row]:
            del self._users[row], self._rows[digest]
            self._drop(row)

    @abstractmethod
    def _load(self, source: Path) -> int:
        """A row filled from `source`; none is taken where that fails."""

    @abstractmethod
    def _drop(self, row: int) -> None:
        """Nobody uses this row any more."""


class Slab(Weights):
    """Rows in the host's memory."""

    def __init__(self, entries: Sequence[WeightEntry], row_bytes: int) -> None:
        super().__init__(entries, row_bytes)
        # Rows start on pages: a row's memory can then be given back alone.
        self.stride = -(-max(row_bytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._pages: list[mmap.mmap] = []
        self._free: list[int] = []

    def view(self, weight: int, row: int, count: int, *, alike: bool = False) -> Array:
        """Weight number `weight` of `count` consecutive rows of one page, ``(count, *shape)``; `alike`: of one row."""
        entry = self.entries[weight]
        page, index = divmod(row, PAGE_ROWS)
        assert alike or index + count <= PAGE_ROWS
        base: Array = np.ndarray(entry.type.shape, entry.type.dtype)
        return np.ndarray(
            (count, *entry.type.shape),
            entry.type.dtype,
            buffer=self._pages[page],
            offset=index * self.stride + entry.offset,
            strides=(0 if alike else self.stride, *base.strides),
        )

    def _load(self, source: Path) -> int:
        row = self._take()
        try:
            self._fill(row, source)
        except OSError:
            self._free.append(row)
            raise
        return row

    def _drop(self, row: int) -> None:
        page, index = divmod(row, PAGE_ROWS)
        self._pages[page].madvise(mmap.MADV_DONTNEED, index * self.stride, self.stride)
        self._free.append(row)

    def _take(self) -> int:
        if not self._free:
            first = len(self._pages) * PAGE_ROWS
            self._pages.append(reserve(PAGE_ROWS * self.stride))
            self._free = list(range(first + PAGE_ROWS - 1, first - 1, -1))
        self._free.sort(reverse=True)  # lowest first: neighbours merge into one strided launch
        return self._free.pop()

    def _fill(self, row: int, source: Path) -> None:
        page, index = divmod(row, PAGE_ROWS)
        with source.open("rb", buffering=0) as file, memoryview(self._pages[page]) as memory:
            start, end = index * self.stride, index * self.stride + self.row_bytes
            while start < end:
                count = file.readinto(memory[start:end])
                if not count:
                    raise OSError(f"{source}: {end - start} bytes of weights are missing; load the model again")
                start += count
