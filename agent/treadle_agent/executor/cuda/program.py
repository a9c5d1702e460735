"""A program on the GPU: its arena of slots, its constants and kernels, and launches bound to problems."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle_agent.executor.cuda.choice import tile_for
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.lowering import constant_layout, lower
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.steps import Convolution, Lowered, Place, Points, Product, Rows, Step
from treadle_agent.executor.cuda.tables import MATRICES, PLACE, SHAPE, TENSORS
from treadle_agent.executor.cuda.variants import POINT_STEPS, POINT_THREADS, ROW_THREADS, Tile, Variant, generated
from treadle_agent.executor.slots import Slots
from treadle_agent.executor.statistics import Lookups
from treadle_agent.program.model import Program

SLOT_ALIGNMENT = 256  # bytes
PLAN_LIMIT = 64  # bound launches kept for each program; least recently used go first

Launch = Callable[[], None]
Problem = tuple[int, int]  # slot, slab row


@dataclass(frozen=True, slots=True)
class Bound:
    """The launches of each kernel for some problems. `tables`: what they read besides tensors, kept alive here."""

    launches: tuple[tuple[Launch, ...], ...]
    tables: Any


class _Tables:
    """Tables for one copy to the device: `add` tells where each will lie, once the memory is there."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, table: np.ndarray[Any, Any]) -> int:
        """The offset of a table."""
        offset, data = self.size, table.tobytes()
        self.parts.append(data.ljust(-(-len(data) // 16) * 16, b"\0"))
        self.size += len(self.parts[-1])
        return offset


class GpuProgram:
    """A program of one architecture over slots of device memory and a slab of weights.

    `library`: kernels (by number) whose products cuBLAS computes; own kernels compute the others. `plans` counts how
    often launches were bound before.
    """

    def __init__(
        self, gpu: Gpu, program: Program, slab: GpuSlab, capacity: int, library: frozenset[int] = frozenset(),
        plans: Lookups | None = None,
    ) -> None:  # fmt: skip
        constants, offsets = constant_layout(program)
        self.lowered = lower(program, [entry.offset for entry in slab.entries], offsets)
        self.program = program
        self.slab = slab
        self.slots = Slots(capacity)
        self.stride = -(-max(program.arena_bytes, 1) // SLOT_ALIGNMENT) * SLOT_ALIGNMENT
        self.input_offsets = [program.offsets[port.value] for port in program.inputs]
        self.output_offsets = [program.offsets[port.value] for port in program.outputs]
        self.signatures = [one.signature for one in self.lowered]
        self._gpu = gpu
        self.by_library = library
        self._lookups = Lookups() if plans is None else plans
        self._plans: OrderedDict[tuple[tuple[int, int], ...], Bound] = OrderedDict()
        with gpu.stream() as stream:
            self.memory = gpu.allocate(capacity * self.stride)
            self._constants = gpu.upload(constants or b"\0", stream)
            self._modules = {
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
            _convolution_function(self._gpu, step, problems)
        elif isinstance(step, Product) and index not in self.by_library:
            _product_function(self._gpu, step, problems)

    @property
    def length(self) -> int:
        """Number of kernels."""
        return len(self.lowered)

    def compose(self, problems: Sequence[Problem], stream: Any) -> Bound:
        """The launches of each kernel for problems at (slot, row), ascending in slots; call inside `Gpu.stream`."""
        key = tuple((slot, self.slab.address(row) if row >= 0 else 0) for slot, row in problems)
        bound = self._plans.get(key)
        if bound is not None:
            self._lookups.hits += 1
            self._plans.move_to_end(key)
            return bound
        self._lookups.misses += 1
        bound = self._bind([(int(self.memory.ptr) + slot * self.stride, row) for slot, row in key], stream)
        self._plans[key] = bound
        if len(self._plans) > PLAN_LIMIT:
            self._plans.popitem(last=False)
        return bound

    def _bind(self, problems: list[tuple[int, int]], stream: Any) -> Bound:
        tables = _Tables()
        places = tables.add(np.array(problems, PLACE))
        bind: list[Callable[[int], tuple[Launch, ...]] | None] = []
        for index, lowered in enumerate(self.lowered):
            match lowered.step:
                case None:
                    bind.append(None)
                case Points() as points:
                    bind.append(self._points(points, len(problems), places))
                case Rows() as rows:
                    bind.append(self._rows(rows, len(problems), places))
                case Convolution() as convolution:
                    bind.append(self._convolution(convolution, problems, tables))
                case Product() as product if index in self.by_library:
                    bind.append(self._library_product(product, problems, tables))
                case Product() as product:
                    bind.append(self._product(product, problems, tables))
        memory = self._gpu.upload(b"".join(tables.parts), stream)
        base = int(memory.ptr)
        return Bound(tuple(() if one is None else one(base) for one in bind), memory)

    def _address(self, place: Place, problem: tuple[int, int]) -> int:
        slot, row = problem
        return {"slot": slot, "row": row, "constants": int(self._constants.ptr)}[place.space] + place.offset

    def _points(self, step: Points, count: int, places: int) -> Callable[[int], tuple[Launch, ...]]:
        each = POINT_STEPS[-1] if step.elements * count >= POINT_THREADS * 1024 else POINT_STEPS[0]
        function = self._modules[each].get_function(step.name)
        grid = (-(-step.elements // (POINT_THREADS * each)), count)
        constants = np.uint64(self._constants.ptr)
        return lambda base: (lambda: function(grid, (POINT_THREADS,), (np.uint64(base + places), constants)),)

    def _rows(self, step: Rows, count: int, places: int) -> Callable[[int], tuple[Launch, ...]]:
        function = self._modules[POINT_STEPS[0]].get_function(step.name)
        constants = np.uint64(self._constants.ptr)
        return lambda base: (
            lambda: function((step.rows, count), (ROW_THREADS,), (np.uint64(base + places), constants)),
        )

    def _convolution(
        self, step: Convolution, problems: list[tuple[int, int]], tables: _Tables
    ) -> Callable[[int], tuple[Launch, ...]]:
        entries = np.zeros(len(problems), TENSORS)
        for entry, problem in zip(entries, problems, strict=True):
            for name, place in (("data", step.data), ("weight", step.weight), ("result", step.result)):
                entry[name] = self._address(place, problem)
            entry["bias"] = 0 if step.bias is None else self._address(step.bias, problem)
        at, shape_at = tables.add(entries), tables.add(np.array([step.shape], SHAPE))
        tile, blocks, function = _convolution_function(self._gpu, step, len(problems))
        grid = (*blocks, len(problems))
        return lambda base: (
            lambda: function(grid, (tile.threads,), (np.uint64(base + at), np.uint64(base + shape_at))),
        )

    def _product(
        self, step: Product, problems: list[tuple[int, int]], tables: _Tables
    ) -> Callable[[int], tuple[Launch, ...]]:
        m, n, k = step.extents
        count = len(problems) * len(step.batch)
        entries = np.zeros(count, MATRICES)
        entries["m"], entries["n"], entries["k"] = m, n, k
        for name, (row, column) in (
            ("a", step.a_strides), ("b", step.b_strides), ("c", step.c_strides), ("bias", step.bias_strides)
        ):  # fmt: skip
            entries[f"{name}_row"], entries[f"{name}_column"] = row, column
        entries["alpha"], entries["beta"] = step.alpha, step.beta
        index = 0
        for problem in problems:
            a, b, c = (self._address(place, problem) for place in (step.a, step.b, step.c))
            for behind in step.batch:
                entries[index]["a"], entries[index]["b"], entries[index]["c"] = (
                    start + offset for start, offset in zip((a, b, c), behind, strict=True)
                )
                entries[index]["bias"] = 0 if step.bias is None else self._address(step.bias, problem)
                index += 1
        tile, tiles, function = _product_function(self._gpu, step, len(problems))
        at, first_at = tables.add(entries), tables.add(np.arange(count, dtype=np.int32) * tiles)
        return lambda base: (
            lambda: function(
                (tiles * count,), (tile.threads,), (np.uint64(base + at), np.uint64(base + first_at), np.int32(count))
            ),
        )

    def _library_product(
        self, step: Product, problems: list[tuple[int, int]], tables: _Tables
    ) -> Callable[[int], tuple[Launch, ...]]:
        """By cuBLAS, whose matrices are column-major: it computes the transposed product."""
        gpu = self._gpu  # launches hold no reference to the program, which keeps them: memory is freed at once
        m, n, k = step.extents
        extents = (n, m, k)
        transposed = (step.b_strides[1] != 1, step.a_strides[1] != 1)
        rows = (k if transposed[0] else n, m if transposed[1] else k, n)  # of the operands as cuBLAS sees them
        pairs = (step.b_strides, step.a_strides, step.c_strides)
        leading = [max(*pair, row) for pair, row in zip(pairs, rows, strict=True)]  # more than a stride of one column
        operands = ((1, step.b), (0, step.a), (2, step.c))
        addresses = np.array(
            [
                [self._address(place, problem) + behind[number] for number, place in operands]
                for problem in problems
                for behind in step.batch
            ],
            np.uint64,
        )
        count = len(addresses)
        jumps = np.diff(addresses.astype(np.int64), axis=0)
        if count == 1 or (jumps == jumps[0]).all():
            steps = [0, 0, 0] if count == 1 else [int(jump) // 4 for jump in jumps[0]]
            left, right, result = ((int(addresses[0, each]), leading[each], steps[each]) for each in range(3))
            return lambda _: (
                lambda: gpu.multiply_by_stride(transposed, extents, step.alpha, 0.0, left, right, result, count),
            )
        at = [tables.add(np.ascontiguousarray(addresses[:, each])) for each in range(3)]
        return lambda base: (
            lambda: gpu.multiply_by_pointer(
                transposed, extents, step.alpha, 0.0,
                (base + at[0], leading[0]), (base + at[1], leading[1]), (base + at[2], leading[2]), count,
            ),
        )  # fmt: skip

    def library_products(self) -> frozenset[int]:
        """The kernels that cuBLAS can compute: products whose bias would not take a launch of its own."""
        return frozenset(
            index for index, one in enumerate(self.lowered) if isinstance(one.step, Product) and one.step.bias is None
        )


def _product_function(gpu: Gpu, step: Product, problems: int) -> tuple[Tile, int, Any]:
    """The tile for so many problems, how many a product has, and the kernel."""
    m, n, _ = step.extents
    tile = tile_for(m, n, problems * len(step.batch))
    return tile, tile.tiles(m, n), gpu.function(Variant("gemm", tile, "float32").source, "grouped_gemm")


def _convolution_function(gpu: Gpu, step: Convolution, problems: int) -> tuple[Tile, tuple[int, int], Any]:
    """The tile for so many problems, blocks and groups of a problem, and the kernel."""
    shape = dict(zip(SHAPE.names or (), step.shape, strict=True))
    groups, columns = shape["groups"], shape["samples"] * shape["out_height"] * shape["out_width"]
    filters = shape["filters"] // groups
    tile = tile_for(filters, columns, problems * groups)
    function = gpu.function(Variant("convolution", tile, "float32").source, "convolution")
    return tile, (tile.tiles(filters, columns), groups), function


def source_of(lowered: Sequence[Lowered], *, per_thread: int) -> str:
    """The text of a program's generated kernels; "" where it has none."""
    steps = [one.step for one in lowered]
    points = {one.name: (one.elements, one.body) for one in steps if isinstance(one, Points)}
    folds = {one.name: one.body for one in steps if isinstance(one, Rows)}
    return generated(points, folds, per_thread=per_thread) if points or folds else ""
