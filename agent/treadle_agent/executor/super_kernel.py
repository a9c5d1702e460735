"""Super-kernels on the host: one launch computes a kernel of many tenants, through a leading axis of problems."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from treadle_agent.executor.slab import PAGE_ROWS, Slab, reserve
from treadle_agent.executor.slots import Slots
from treadle_agent.program.model import ITEM_BYTES, Activation, Constant, DType, Kernel, Operand, Program, Weight
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import Array, Launch

PLAN_LIMIT = 512  # bound launches kept for each program; least recently used go first

Chunk = tuple[int, int, int]  # first slot, first slab row (-1: no weights), number of problems


def chunks(places: Sequence[tuple[int, int]]) -> list[Chunk]:
    """Split problems at (slot, row), ascending in slots, into runs in which both advance by one."""
    result: list[Chunk] = []
    for slot, row in places:
        if result:
            first, first_row, count = result[-1]
            if slot == first + count and row == first_row + count and row % PAGE_ROWS:
                result[-1] = (first, first_row, count + 1)
                continue
        result.append((slot, row, 1))
    return result


class MergedProgram:
    """A program of one architecture over an arena of slots and a slab of weights.

    A problem is a slot and a slab row. `run` computes kernels begin..end of any set of problems; each kernel is one
    launch, in as few NumPy calls as the problems' neighbourhood allows.
    """

    def __init__(self, program: Program, slab: Slab, capacity: int) -> None:
        assert [entry.type for entry in slab.entries] == list(program.weights)
        self.program = program
        self.slab = slab
        self.slots = Slots(capacity)
        self.stride = max(program.arena_bytes, 1)
        self._arena = reserve(capacity * self.stride)
        self.memory = memoryview(self._arena)
        self._constants = [
            np.frombuffer(constant.data, constant.type.dtype).reshape(1, *constant.type.shape)
            for constant in program.constants
        ]
        self.input_offsets = [program.offsets[port.value] for port in program.inputs]
        self.output_offsets = [program.offsets[port.value] for port in program.outputs]
        self.signatures = [signature(program, kernel) for kernel in program.kernels]
        self._weighted = [any(isinstance(each, Weight) for each in kernel.inputs) for kernel in program.kernels]
        self._plans: OrderedDict[Chunk, list[Launch | None]] = OrderedDict()

    @property
    def length(self) -> int:
        """Number of kernels."""
        return len(self.program.kernels)

    def compose(self, places: Sequence[tuple[int, int]]) -> list[tuple[Launch, ...]]:
        """The launches of each kernel for problems at (slot, row), ascending in slots."""
        weighted = [self._plan(chunk) for chunk in chunks(places)]
        plain = [self._plan((slot, -1, count)) for slot, _, count in _slot_runs(places)]
        composed: list[tuple[Launch, ...]] = []
        for index, has_weights in enumerate(self._weighted):
            plans = weighted if has_weights else plain
            composed.append(tuple(launch for plan in plans if (launch := plan[index]) is not None))
        return composed

    def value(self, index: int, slot: int, count: int = 1) -> Array:
        """Value `index` in `count` neighbouring slots, ``(count, *shape)``."""
        type_ = self.program.values[index]
        inner: list[int] = []
        step = ITEM_BYTES[type_.dtype]
        for dim in reversed(type_.shape):
            inner.append(step)
            step *= dim
        return np.ndarray(
            (count, *type_.shape),
            type_.dtype,
            buffer=self._arena,
            offset=slot * self.stride + self.program.offsets[index],
            strides=(self.stride, *reversed(inner)),
        )

    def _plan(self, chunk: Chunk) -> list[Launch | None]:
        plan = self._plans.get(chunk)
        if plan is not None:
            self._plans.move_to_end(chunk)
            return plan
        slot, row, count = chunk
        plan = [
            self._bind(kernel, slot, row, count) if has_weights == (row >= 0) else None
            for kernel, has_weights in zip(self.program.kernels, self._weighted, strict=True)
        ]
        self._plans[chunk] = plan
        if len(self._plans) > PLAN_LIMIT:
            self._plans.popitem(last=False)
        return plan

    def _bind(self, kernel: Kernel, slot: int, row: int, count: int) -> Launch:
        def operand(one: Operand | None) -> Array | None:
            match one:
                case None:
                    return None
                case Weight(index):
                    return self.slab.view(index, row, count)
                case Constant(index):
                    return self._constants[index]
                case Activation(index):
                    return self.value(index, slot, count)

        outputs = [self.value(index, slot, count) for index in kernel.outputs]
        return registry.BIND[kernel.op](dict(kernel.attributes), [operand(one) for one in kernel.inputs], outputs)


def ignore_warnings() -> None:
    """Let the calling thread compute with padding rows, which hold anything; NaN in an answer is the model's own."""
    np.seterr(all="ignore")


def run(composed: Sequence[tuple[Launch, ...]], begin: int, end: int, clock: Callable[[], float]) -> list[float]:
    """Launch kernels begin..end and return the seconds of each."""
    durations: list[float] = []
    last = clock()
    for index in range(begin, end):
        for launch in composed[index]:
            launch()
        now = clock()
        durations.append(now - last)
        last = now
    return durations


def signature(program: Program, kernel: Kernel) -> str:
    """What must be equal for kernels to merge, readable: ``Gemm[f32 1x784, f32 784x256 -> f32 1x256]``."""

    def text(one: Operand | None) -> str:
        if one is None:
            return "-"
        type_ = program.type_of(one)
        return f"{_SHORT[type_.dtype]} {'x'.join(map(str, type_.shape)) or '1'}"

    given = ", ".join(map(text, kernel.inputs))
    made = ", ".join(text(Activation(index)) for index in kernel.outputs)
    return f"{kernel.op}[{given} -> {made}]"


def _slot_runs(places: Sequence[tuple[int, int]]) -> list[Chunk]:
    """The same by slots alone, for kernels without weights."""
    result: list[Chunk] = []
    for slot, _ in places:
        if result and slot == result[-1][0] + result[-1][2]:
            result[-1] = (result[-1][0], -1, result[-1][2] + 1)
        else:
            result.append((slot, -1, 1))
    return result


_SHORT: dict[DType, str] = {"float32": "f32", "int32": "i32", "int64": "i64", "bool": "b", "uint8": "u8"}
