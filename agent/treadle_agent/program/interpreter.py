"""Run a program alone on the host, kernel by kernel: the oracle that a lowered model is proved with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from treadle_agent.program.model import Activation, Constant, Operand, Program, TensorType, Weight
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import Array, Launch


def constant_array(type_: TensorType, data: bytes) -> Array:
    """The array of a constant."""
    return np.frombuffer(data, dtype=np.dtype(type_.dtype).newbyteorder("<")).astype(type_.dtype).reshape(type_.shape)


def view(slot: Array, offset: int, type_: TensorType) -> Array:
    """View a value in an arena slot (uint8) as ``(1, *shape)``."""
    return slot[offset : offset + type_.nbytes].view(type_.dtype).reshape(1, *type_.shape)


class Interpreter:
    """A program bound over one arena slot and one tenant's weights."""

    def __init__(self, program: Program, weights: Sequence[Array]) -> None:
        self._program = program
        # Poisoned, so that a kernel that leaves an element unwritten is seen.
        slot = np.full(program.arena_bytes, 0xA5, dtype=np.uint8)
        self._values = [view(slot, offset, one) for offset, one in zip(program.offsets, program.values, strict=True)]
        self._weights = [np.asarray(one)[np.newaxis] for one in weights]
        self._constants = [constant_array(one.type, one.data)[np.newaxis] for one in program.constants]
        self._launches = [self._bind(index) for index in range(len(program.kernels))]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name for inputs by name, with the program's shapes."""
        for port in self._program.inputs:
            self._values[port.value][0] = inputs[port.name]
        for launch in self._launches:
            launch()
        return {port.name: self._values[port.value][0].copy() for port in self._program.outputs}

    def _bind(self, index: int) -> Launch:
        kernel = self._program.kernels[index]
        operands = [None if one is None else self._operand(one) for one in kernel.inputs]
        outputs = [self._values[output] for output in kernel.outputs]
        return registry.BIND[kernel.op](dict(kernel.attributes), operands, outputs)

    def _operand(self, operand: Operand) -> Array:
        match operand:
            case Weight(index):
                return self._weights[index]
            case Constant(index):
                return self._constants[index]
            case Activation(index):
                return self._values[index]
