"""Super-kernels on the host: one launch computes a kernel of many tenants, through a leading axis of problems."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import numpy as np

from treadle_agent.executor.banks import Banks, Block, Place
from treadle_agent.executor.binding import Binding
from treadle_agent.executor.lines import Ports, by_lines, lines_of
from treadle_agent.executor.slab import PAGE_ROWS, Slab, reserve
from treadle_agent.executor.statistics import Lookups
from treadle_agent.program.model import (
    ALIGNMENT,
    ITEM_BYTES,
    Activation,
    Constant,
    DType,
    Kernel,
    Operand,
    Program,
    Weight,
)
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import Array, Launch

PLANS_A_BANK = 256  # bound launches kept, of 127 aligned blocks and those of one row; least recently used go first


class MergedProgram:
    """A program of one architecture over banks of slots and a slab of weights.

    `place` says where problems lie, `compose` how they are launched, and `give` that they have left. Each kernel is as
    few NumPy calls as the problems' neighbourhood makes worth while. `padding`: see `Banks`; `plans` counts how often
    a launch was bound before.
    """

    def __init__(self, program: Program, slab: Slab, padding: float = 0.0, plans: Lookups | None = None) -> None:
        assert [entry.type for entry in slab.entries] == list(program.weights)
        self.program = program
        self.slab = slab
        self.stride = max(-(-program.arena_bytes // ALIGNMENT), 1) * ALIGNMENT
        self._banks = Banks(padding)
        self._memory: dict[int, memoryview] = {}  # by number of the bank
        self._lines: dict[int, Array] = {}  # the same, by lines
        self._lookups = Lookups() if plans is None else plans
        self._constants = [
            np.frombuffer(constant.data, constant.type.dtype).reshape(1, *constant.type.shape)
            for constant in program.constants
        ]
        self.input_offsets = [program.offsets[port.value] for port in program.inputs]
        self.output_offsets = [program.offsets[port.value] for port in program.outputs]
        self._ports: dict[int, tuple[Ports, Ports]] = {}  # by rows
        self.signatures = [signature(program, kernel) for kernel in program.kernels]
        self._plans: OrderedDict[Block, list[Launch]] = OrderedDict()

    @property
    def length(self) -> int:
        """Number of kernels."""
        return len(self.program.kernels)

    def place(self, rows: Sequence[int]) -> Place:
        """Slots for problems with these rows of weights."""
        return self._banks.take(rows)

    def compose(self, place: Place) -> list[tuple[Launch, ...]]:
        """The launches of each kernel for problems in their places."""
        return list(zip(*(self._plan(block) for block in place.blocks), strict=True))

    def give(self, place: Place) -> None:
        """Nobody reads or writes these slots any more."""
        self._banks.give(place)

    def memory(self, slot: int) -> memoryview:
        """The arena from the slot's first byte on, as far as its bank goes."""
        number, index = divmod(slot, PAGE_ROWS)
        bank = self._memory.get(number)
        if bank is None:
            bank = self._memory[number] = memoryview(reserve(PAGE_ROWS * self.stride))
        return bank[index * self.stride :]

    def lines(self, place: Place) -> tuple[Array, Array] | None:
        """A place's bank by lines, and at which lines its slots begin, ``(R, 1)``; None where it has several banks."""
        if len(place.banks) != 1:
            return None
        [(_, number)] = place.banks
        bank = self._lines.get(number)
        if bank is None:
            self.memory(number * PAGE_ROWS)
            bank = self._lines[number] = by_lines(self._memory[number])
        slots = np.array(place.slots, np.intp).reshape(-1, 1)
        return bank, (slots - number * PAGE_ROWS) * (self.stride // ALIGNMENT)

    def ports(self, binding: Binding, rows: int) -> tuple[Ports, Ports]:
        """Where inputs and outputs of a request with `rows` rows lie: alike for all of one architecture."""
        known = self._ports.get(rows)
        if known is None:
            inputs, outputs = binding.offsets(rows)
            known = self._ports[rows] = (
                _ports(inputs, self.input_offsets, [rows * each for each in binding.input_bytes]),
                _ports(outputs, self.output_offsets, [rows * each for each in binding.output_bytes]),
            )
        return known

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
            buffer=self.memory(slot),
            offset=self.program.offsets[index],
            strides=(self.stride, *reversed(inner)),
        )

    def _plan(self, block: Block) -> list[Launch]:
        plan = self._plans.get(block)
        if plan is not None:
            self._lookups.hits += 1
            self._plans.move_to_end(block)
            return plan
        self._lookups.misses += 1
        plan = self._plans[block] = [self._bind(kernel, block) for kernel in self.program.kernels]
        if len(self._plans) > PLANS_A_BANK * len(self._memory):
            self._plans.popitem(last=False)
        return plan

    def _bind(self, kernel: Kernel, block: Block) -> Launch:
        def operand(one: Operand | None) -> Array | None:
            match one:
                case None:
                    return None
                case Weight(index):
                    return self.slab.view(index, block.row, block.problems, alike=block.alike)
                case Constant(index):
                    return self._constants[index]
                case Activation(index):
                    return self.value(index, block.slot, block.problems)

        outputs = [self.value(index, block.slot, block.problems) for index in kernel.outputs]
        return registry.BIND[kernel.op](dict(kernel.attributes), [operand(one) for one in kernel.inputs], outputs)


def _ports(block: Sequence[int], slot: Sequence[int], nbytes: Sequence[int]) -> Ports:
    return Ports(lines_of(block, nbytes), lines_of(slot, nbytes))


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


def signature(program: Program, kernel: Kernel, halves: Collection[int] = ()) -> str:
    """What must be equal for kernels to merge, readable: ``Gemm[f32 1x784, f32 784x256 -> f32 1x256]``.

    `halves`: the weights (by number) that are kept as float16.
    """

    def text(one: Operand | None) -> str:
        if one is None:
            return "-"
        type_ = program.type_of(one)
        half = isinstance(one, Weight) and one.index in halves
        return f"{'f16' if half else _SHORT[type_.dtype]} {'x'.join(map(str, type_.shape)) or '1'}"

    given = ", ".join(map(text, kernel.inputs))
    made = ", ".join(text(Activation(index)) for index in kernel.outputs)
    return f"{kernel.op}[{given} -> {made}]"


_SHORT: dict[DType, str] = {"float32": "f32", "int32": "i32", "int64": "i64", "bool": "b", "uint8": "u8"}
