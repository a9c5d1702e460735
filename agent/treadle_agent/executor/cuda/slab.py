"""Weights in the GPU's memory: the host's slab with pages of device memory, small ones, since these cost at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treadle_agent.executor.cuda.gpu import PATIENT, Gpu
from treadle_agent.program.artifact import WeightEntry

PAGE_BYTES = 32 << 20  # rows that fit share a page, and can be read by stride
ALIGNMENT = 256  # bytes: what the widest vector loads and cuBLAS's fastest kernels ask for
LARGEST_PAGE = 64  # rows


class GpuSlab:
    """Rows of weights, shared by content, in pages that are freed with their last row."""

    def __init__(self, gpu: Gpu, entries: Sequence[WeightEntry], row_bytes: int) -> None:
        self._gpu = gpu
        self.entries = tuple(entries)
        self.row_bytes = row_bytes
        self.stride = -(-max(row_bytes, 1) // ALIGNMENT) * ALIGNMENT
        self.page_rows = max(1, min(LARGEST_PAGE, PAGE_BYTES // self.stride))
        self._pages: dict[int, Any] = {}
        self._rows: dict[str, int] = {}
        self._users: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._users)

    @property
    def nbytes(self) -> int:
        """Bytes of weights held."""
        return len(self._users) * self.row_bytes

    def acquire(self, digest: str, source: Path) -> int:
        """The row that holds the model `digest`, filled from `source` (weights.bin) if it is new.

        Raises:
            OSError: `source` cannot be read, or is shorter than a row.
            cupy.cuda.memory.OutOfMemoryError: the device is full.
        """
        row = self._rows.get(digest)
        if row is None:
            data = source.read_bytes()
            if len(data) < self.row_bytes:
                missing = self.row_bytes - len(data)
                raise OSError(f"{source}: {missing} bytes of weights are missing; load the model again")
            row = self._fill(data[: self.row_bytes])
            self._rows[digest] = row
            self._users[row] = 0
        self._users[row] += 1
        return row

    def release(self, digest: str) -> None:
        """Give up one use of a model's row; a page goes back with its last row."""
        row = self._rows[digest]
        self._users[row] -= 1
        if self._users[row]:
            return
        del self._users[row], self._rows[digest]
        page = row // self.page_rows
        if not any(other // self.page_rows == page for other in self._users):
            del self._pages[page]

    def address(self, row: int) -> int:
        """Where a row lies."""
        page, index = divmod(row, self.page_rows)
        return int(self._pages[page].ptr) + index * self.stride

    def _fill(self, data: bytes) -> int:
        row = next(row for row in range(len(self._users) + 1) if row not in self._users)  # lowest: neighbours merge
        page, index = divmod(row, self.page_rows)
        with self._gpu.stream(PATIENT) as stream:
            if page not in self._pages:
                self._pages[page] = self._gpu.allocate(self.page_rows * self.stride)
            pinned, view = self._gpu.pinned(len(data))
            view[:] = memoryview(data)
            (self._pages[page] + index * self.stride).copy_from_host_async(pinned.ptr, len(data), stream)
            stream.synchronize()  # another thread's stream may read the row from now on
        return row
