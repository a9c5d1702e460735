"""A program on the GPU: its arena of slots, its constants and kernels, and launches bound to problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from treadle_agent.executor.cuda.bound import Addresses, Bound, Fill, Launch, Problem, Tables
from treadle_agent.executor.cuda.choice import Choices
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.graphs import Replay, runs_of_own
from treadle_agent.executor.cuda.lowering import constant_layout, lower
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.steps import Convolution, Lowered, Place, Points, Product, Rows, Step
from treadle_agent.executor.cuda.tables import MATRICES, PLACE, SHAPE, TENSORS
from treadle_agent.executor.cuda.variants import (
    POINT_STEPS,
    POINT_THREADS,
    ROW_THREADS,
    Element,
    Tile,
    Variant,
    generated,
)
from treadle_agent.executor.slots import Slots
from treadle_agent.executor.statistics import Lookups
from treadle_agent.program.model import Program
from treadle_api.tenant import Precision

SLOT_ALIGNMENT = 256  # bytes


class GpuProgram:
    """A program of one architecture over slots of device memory and a slab of weights.

    `choices`: cuBLAS or own kernels, and their tiles. `plans` counts how often launches were bound before. `replay`:
    whether runs of own kernels become graphs, which are then timed as one. `modules`: another one's, of the same
    program and precision; otherwise they are compiled.
    """

    def __init__(
        self, gpu: Gpu, program: Program, slab: GpuSlab, capacity: int, choices: Choices | None = None,
        plans: Lookups | None = None, replay: Replay | None = None, modules: Mapping[int, Any] | None = None,
    ) -> None:  # fmt: skip
        constants, offsets = constant_layout(program)
        self.lowered = lower(program, [weight.offset for weight in slab.weights], offsets, slab.halves)
        self.program = program
        self.slab = slab
        self.slots = Slots(capacity)
        self.stride = -(-max(program.arena_bytes, 1) // SLOT_ALIGNMENT) * SLOT_ALIGNMENT
        self.input_offsets = [program.offsets[port.value] for port in program.inputs]
        self.output_offsets = [program.offsets[port.value] for port in program.outputs]
        self.choices = Choices() if choices is None else choices
        self._tf32 = slab.precision is Precision.TF32
        self.signatures = [
            f"{one.signature} tf32" if self._tf32 and index in self.choices.library else one.signature
            for index, one in enumerate(self.lowered)
        ]
        self._gpu = gpu
        self._lookups = Lookups() if plans is None else plans
        self._replay = replay
        self._free: defaultdict[int, list[Bound]] = defaultdict(list)  # by number of problems
        with gpu.stream() as stream:
            self.memory = gpu.allocate(capacity * self.stride)
            self._constants = gpu.upload(constants or b"\0", stream)
            self.modules = modules or {
                count: gpu.compile(source)
                for count in POINT_STEPS
                if (source := source_of(self.lowered, per_thread=count))
            }
            for problems in range(1, capacity + 1):
                for index, one in enumerate(self.lowered):
                    self._prepare(index, one.step, problems)

    def _prepare(self, index: int, step: Step | None, problems: int) -> None:
        """Compile what a launch of so many problems will take: nothing is compiled on the way to a deadline."""
        if isinstance(step, Convolution):
            self._convolution_kernel(index, step, problems)
        elif isinstance(step, Product) and index not in self.choices.library:
            self._product_kernel(index, step, problems)

    @property
    def length(self) -> int:
        """Number of kernels."""
        return len(self.lowered)

    def compose(self, problems: Sequence[Problem], stream: Any) -> Bound:
        """The launches of each kernel for problems at (slot, row), ascending in slots; call inside `Gpu.stream`."""
        base = int(self.memory.ptr)
        addresses = tuple(
            (base + slot * self.stride, self.slab.address(row) if row >= 0 else 0) for slot, row in problems
        )
        free = self._free[len(problems)]
        if free:
            self._lookups.hits += 1
            bound = free.pop(next((place for place, one in enumerate(free) if one.problems == addresses), -1))
        else:
            self._lookups.misses += 1
            bound = self._bind(len(problems))
        bound.turn_to(addresses, stream)
        return bound

    def give(self, bound: Bound) -> None:
        """No launch of a group reads its tables any more."""
        self._free[bound.count].append(bound)

    def _bind(self, count: int) -> Bound:
        tables = Tables()
        places = tables.add(count * PLACE.itemsize, _places)
        bind: list[Callable[[int], tuple[Launch, ...]] | None] = []
        for index, lowered in enumerate(self.lowered):
            match lowered.step:
                case None:
                    bind.append(None)
                case Points() as points:
                    bind.append(self._points(points, count, places))
                case Rows() as rows:
                    bind.append(self._rows(rows, count, places))
                case Convolution() as convolution:
                    bind.append(self._convolution(index, convolution, count, tables))
                case Product() as product if index in self.choices.library:
                    bind.append(self._library_product(product, count, tables))
                case Product() as product:
                    bind.append(self._product(index, product, count, tables))
        memory = self._gpu.allocate(tables.size)
        pinned, view = self._gpu.pinned(tables.size)
        base = int(memory.ptr)
        launches = tuple(() if one is None else one(base) for one in bind)
        bound = Bound(launches, count, memory, (), pinned, view, tables.fills)
        if self._replay is not None:
            own = [index not in self.choices.library for index in range(self.length)]
            if runs := runs_of_own(list(map(len, launches)), own):
                bound.shares = self._replay.shares
                self._replay.later(partial(bound.record, self._gpu, runs))
        return bound

    def _addresses(self, place: Place) -> Fill:
        """Where a tensor of each problem lies. Holds no reference to the program, nor does what is made of it: the
        program keeps launches, and its memory is to be freed at once.
        """
        constants, offset = int(self._constants.ptr), np.uint64(place.offset)
        match place.space:
            case "slot":
                return lambda slots, _: slots + offset
            case "row":
                return lambda _, rows: rows + offset
            case _:
                return lambda slots, _: np.full(len(slots), constants + place.offset, np.uint64)

    def _points(self, step: Points, count: int, places: int) -> Callable[[int], tuple[Launch, ...]]:
        each = POINT_STEPS[-1] if step.elements * count >= POINT_THREADS * 1024 else POINT_STEPS[0]
        function = self.modules[each].get_function(step.name)
        grid = (-(-step.elements // (POINT_THREADS * each)), count)
        constants = np.uint64(self._constants.ptr)
        return lambda base: (lambda: function(grid, (POINT_THREADS,), (np.uint64(base + places), constants)),)

    def _rows(self, step: Rows, count: int, places: int) -> Callable[[int], tuple[Launch, ...]]:
        function = self.modules[POINT_STEPS[0]].get_function(step.name)
        constants = np.uint64(self._constants.ptr)
        return lambda base: (
            lambda: function((step.rows, count), (ROW_THREADS,), (np.uint64(base + places), constants)),
        )

    def _convolution_kernel(self, index: int, step: Convolution, problems: int) -> tuple[Tile, Any]:
        tile = self.choices.tile(index, step.matrices, problems)
        source = Variant("convolution", tile, _element(step.half)).source
        return tile, self._gpu.function(source, "convolution")

    def _product_kernel(self, index: int, step: Product, problems: int) -> tuple[Tile, Any]:
        tile = self.choices.tile(index, step.matrices, problems)
        left, right = (_element(half) for half in step.halves)
        return tile, self._gpu.function(Variant("gemm", tile, left, right).source, "grouped_gemm")

    def _convolution(
        self, index: int, step: Convolution, count: int, tables: Tables
    ) -> Callable[[int], tuple[Launch, ...]]:
        entries = np.zeros(count, TENSORS)
        named = (("data", step.data), ("weight", step.weight), ("result", step.result), ("bias", step.bias))
        tensors = [(name, self._addresses(place)) for name, place in named if place is not None]

        def fill(slots: Addresses, rows: Addresses) -> np.ndarray[Any, Any]:
            for name, addresses in tensors:
                entries[name] = addresses(slots, rows)
            return entries

        at, shape_at = tables.add(entries.nbytes, fill), tables.keep(np.array([step.shape], SHAPE))
        tile, function = self._convolution_kernel(index, step, count)
        rows, columns, groups = step.matrices
        grid = (tile.tiles(rows, columns), groups, count)
        return lambda base: (
            lambda: function(grid, (tile.threads,), (np.uint64(base + at), np.uint64(base + shape_at))),
        )

    def _product(self, index: int, step: Product, problems: int, tables: Tables) -> Callable[[int], tuple[Launch, ...]]:
        m, n, k = step.extents
        count = problems * len(step.batch)
        entries = np.zeros(count, MATRICES)
        entries["m"], entries["n"], entries["k"] = m, n, k
        for name, (row, column) in (
            ("a", step.a_strides), ("b", step.b_strides), ("c", step.c_strides), ("bias", step.bias_strides)
        ):  # fmt: skip
            entries[f"{name}_row"], entries[f"{name}_column"] = row, column
        entries["alpha"], entries["beta"] = step.alpha, step.beta
        behind = np.array(step.batch, np.uint64)
        operands = [(name, self._addresses(place)) for name, place in zip("abc", (step.a, step.b, step.c), strict=True)]
        bias = None if step.bias is None else self._addresses(step.bias)

        def fill(slots: Addresses, rows: Addresses) -> np.ndarray[Any, Any]:
            for number, (name, addresses) in enumerate(operands):
                entries[name] = np.add.outer(addresses(slots, rows), behind[:, number]).ravel()
            if bias is not None:
                entries["bias"] = np.repeat(bias(slots, rows), len(behind))
            return entries

        tile, function = self._product_kernel(index, step, problems)
        tiles = tile.tiles(m, n)
        at, first_at = tables.add(entries.nbytes, fill), tables.keep(np.arange(count, dtype=np.int32) * tiles)
        return lambda base: (
            lambda: function(
                (tiles * count,), (tile.threads,), (np.uint64(base + at), np.uint64(base + first_at), np.int32(count))
            ),
        )

    def _library_product(self, step: Product, problems: int, tables: Tables) -> Callable[[int], tuple[Launch, ...]]:
        """By cuBLAS, whose matrices are column-major: it computes the transposed product."""
        gpu, tf32 = self._gpu, self._tf32
        m, n, k = step.extents
        extents = (n, m, k)
        transposed = (step.b_strides[1] != 1, step.a_strides[1] != 1)
        rows_seen = (k if transposed[0] else n, m if transposed[1] else k, n)  # of the operands as cuBLAS sees them
        pairs = (step.b_strides, step.a_strides, step.c_strides)
        leading = [max(*pair, row) for pair, row in zip(pairs, rows_seen, strict=True)]  # more than one column's stride
        behind = np.array(step.batch, np.uint64)
        operands = [(number, self._addresses(place)) for number, place in ((1, step.b), (0, step.a), (2, step.c))]
        count = problems * len(step.batch)
        addresses = np.zeros((3, count), np.uint64)

        def fill(slots: Addresses, rows: Addresses) -> np.ndarray[Any, Any]:
            for place, (number, of) in enumerate(operands):
                addresses[place] = np.add.outer(of(slots, rows), behind[:, number]).ravel()
            return addresses

        at = tables.add(addresses.nbytes, fill)

        def launch(base: int) -> None:
            jumps = np.diff(addresses.astype(np.int64), axis=1)
            if count == 1 or (jumps == jumps[:, :1]).all():
                steps = [0, 0, 0] if count == 1 else [int(jump) // 4 for jump in jumps[:, 0]]
                left, right, result = ((int(addresses[each, 0]), leading[each], steps[each]) for each in range(3))
                gpu.multiply_by_stride(transposed, extents, step.alpha, 0.0, left, right, result, count, tf32=tf32)
                return
            first, second, third = ((base + at + each * 8 * count, leading[each]) for each in range(3))
            gpu.multiply_by_pointer(transposed, extents, step.alpha, 0.0, first, second, third, count, tf32=tf32)

        return lambda base: (partial(launch, base),)

    def library_products(self) -> frozenset[int]:
        """The kernels that cuBLAS can compute: float32 products whose bias would not take a launch of its own."""
        return frozenset(
            index
            for index, one in enumerate(self.lowered)
            if isinstance(one.step, Product) and one.step.bias is None and not any(one.step.halves)
        )


def _places(slots: Addresses, rows: Addresses) -> np.ndarray[Any, Any]:
    places = np.zeros(len(slots), PLACE)
    places["slot"], places["row"] = slots, rows
    return places


def _element(half: bool) -> Element:  # noqa: FBT001 - a value, not a switch
    return "float16" if half else "float32"


def source_of(lowered: Sequence[Lowered], *, per_thread: int) -> str:
    """The text of a program's generated kernels; "" where it has none."""
    steps = [one.step for one in lowered]
    points = {one.name: (one.elements, one.body) for one in steps if isinstance(one, Points)}
    folds = {one.name: one.body for one in steps if isinstance(one, Rows)}
    return generated(points, folds, per_thread=per_thread) if points or folds else ""
