"""The input shapes of a version's requests, and where their tensors lie in a block of the shared memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.executor.protocol import block_layout, with_rows
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops.registry import Array


class Binding:
    """Static shapes of one row's inputs and outputs; `batchable`: dimension 0 counts rows."""

    def __init__(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType], *, batchable: bool) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.batchable = batchable
        self.input_bytes = tuple(type_.nbytes for type_ in inputs)
        self.output_bytes = tuple(type_.nbytes for type_ in outputs)
        self._offsets: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def offsets(self, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets of the inputs and of the outputs in the block of a request with `rows` rows."""
        known = self._offsets.get(rows)
        if known is None:
            types = [with_rows(type_, rows, batchable=self.batchable) for type_ in (*self.inputs, *self.outputs)]
            offsets, _ = block_layout(types)
            known = self._offsets[rows] = offsets[: len(self.inputs)], offsets[len(self.inputs) :]
        return known

    def arrays(self, memory: memoryview, block: int, rows: int) -> list[Array]:
        """Views of a request's inputs."""
        offsets, _ = self.offsets(rows)
        return [
            np.ndarray(with_rows(type_, rows, batchable=self.batchable).shape, type_.dtype, memory, block + offset)
            for type_, offset in zip(self.inputs, offsets, strict=True)
        ]
