"""Weights in the GPU's memory: the host's slab with pages of device memory, small ones, since these cost at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.precision import Bytes, converted, stored
from treadle_agent.executor.slab import Weights
from treadle_agent.program.artifact import WeightEntry
from treadle_api.tenant import Precision

PAGE_BYTES = 32 << 20  # rows that fit share a page, and can be read by stride
ALIGNMENT = 256  # bytes: what the widest vector loads and cuBLAS's fastest kernels ask for
LARGEST_PAGE = 64  # rows


class GpuSlab(Weights):
    """Rows in pages that are freed with their last row.

    `file_bytes`: the length of weights.bin, of which rows are made as `weights` says. `acquire` also raises
    PrecisionError, and cupy.cuda.memory.OutOfMemoryError where the device is full.
    """

    def __init__(
        self, gpu: Gpu, entries: Sequence[WeightEntry], file_bytes: int, precision: Precision = Precision.FLOAT32
    ) -> None:
        self.weights, row_bytes = stored(entries, file_bytes, precision)
        super().__init__(entries, row_bytes)
        self.precision = precision
        self._gpu = gpu
        self._file_bytes = file_bytes
        self.stride = -(-max(row_bytes, 1) // ALIGNMENT) * ALIGNMENT
        self.page_rows = max(1, min(LARGEST_PAGE, PAGE_BYTES // self.stride))
        self._pages: dict[int, Any] = {}

    @property
    def halves(self) -> frozenset[int]:
        """The weights (by number) that are kept as float16."""
        return frozenset(number for number, weight in enumerate(self.weights) if weight.half)

    def like(self) -> GpuSlab:
        """Another one for the same weights, empty."""
        return GpuSlab(self._gpu, self.entries, self._file_bytes, self.precision)

    def address(self, row: int) -> int:
        """Where a row lies."""
        page, index = divmod(row, self.page_rows)
        return int(self._pages[page].ptr) + index * self.stride

    def _load(self, source: Path) -> int:
        data = np.fromfile(source, np.uint8, self._file_bytes)
        if len(data) < self._file_bytes:
            missing = self._file_bytes - len(data)
            raise OSError(f"{source}: {missing} bytes of weights are missing; load the model again")
        return self._fill(converted(data, self.weights, self.row_bytes) if self.halves else data)

    def _drop(self, row: int) -> None:
        page = row // self.page_rows
        if not any(other // self.page_rows == page for other in self._users):
            del self._pages[page]

    def _fill(self, data: Bytes) -> int:
        row = next(row for row in range(len(self._users) + 1) if row not in self._users)  # lowest: neighbours merge
        page, index = divmod(row, self.page_rows)
        with self._gpu.stream() as stream:
            if page not in self._pages:
                self._pages[page] = self._gpu.allocate(self.page_rows * self.stride)
            pinned, view = self._gpu.pinned(len(data))
            view[:] = data
            (self._pages[page] + index * self.stride).copy_from_host_async(pinned.ptr, len(data), stream)
            stream.synchronize()  # another thread's stream may read the row from now on
        return row
