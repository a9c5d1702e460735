"""Table 1 on a GPU: own kernels, merged into one launch, one after another, and on a stream each; beside cuBLAS."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from treadle.bench.kernels.compare import Timing, rows
from treadle.bench.kernels.problems import PROBLEMS, RANGE, Problem
from treadle.bench.kernels.report import Row
from treadle_agent.executor.cuda.gpu import Gpu, copy_in, copy_out
from treadle_agent.executor.cuda.tables import MATRICES
from treadle_agent.executor.cuda.variants import TILES, Tile, Variant

ROUNDS = 9
TOLERANCE = 1e-4  # of the largest element: beyond it a product is wrong

Launch = Callable[[], object]


def table(gpu: Gpu, tell: Callable[[str], None]) -> Iterable[Row]:
    """All rows, for every R of the paper."""
    for problem in PROBLEMS:
        tell(problem.name)
        yield from rows(problem, timings(gpu, problem, RANGE))


def timings(gpu: Gpu, problem: Problem, counts: Sequence[int], tiles: Sequence[Tile] = TILES) -> Mapping[int, Timing]:
    """Each number of problems shared each way: medians by the GPU's own clock, with the tile that merges fastest.

    Raises:
        ArithmeticError: a way gives another product than NumPy.
    """
    return {count: _timing(_Operands(gpu, problem, count), tiles) for count in counts}


def _timing(operands: _Operands, tiles: Sequence[Tile]) -> Timing:
    merged = {tile: operands.seconds(operands.merged(tile)) for tile in tiles}
    best = min(tiles, key=lambda tile: merged[tile])
    return Timing(
        time=operands.seconds(operands.one_by_one(best)),
        space=operands.seconds(operands.at_once(best)),
        merged=merged[best],
        library=operands.seconds(operands.by_library),
    )


class _Operands:
    """`count` problems of one shape in the GPU's memory, and the ways to solve all of them."""

    def __init__(self, gpu: Gpu, problem: Problem, count: int) -> None:
        self._gpu, self.count = gpu, count
        product = problem.product
        self._extents = m, n, k = product.m, product.n, product.k
        random = np.random.default_rng(count)
        a, b = (random.standard_normal((count, *shape)).astype(np.float32) for shape in ((m, k), (k, n)))
        self._wanted = a @ b
        entries = np.zeros(count, MATRICES)
        entries["m"], entries["n"], entries["k"], entries["alpha"] = m, n, k, 1.0
        entries["a_row"], entries["b_row"], entries["c_row"] = k, n, n
        with gpu.stream() as stream:
            self._left, self._right = gpu.upload(a.tobytes(), stream), gpu.upload(b.tobytes(), stream)
            self._result = gpu.allocate(self._wanted.nbytes)
            for field, memory, size in (
                ("a", self._left, m * k),
                ("b", self._right, k * n),
                ("c", self._result, m * n),
            ):
                entries[f"{field}_column"] = 1
                entries[field] = int(memory.ptr) + 4 * size * np.arange(count)
            self._problems = gpu.upload(entries.tobytes(), stream)

    def merged(self, tile: Tile) -> Launch:
        """One launch for all."""
        return self._launch(tile, 0, self.count)

    def one_by_one(self, tile: Tile) -> Launch:
        """A launch for each, on one stream."""
        launches = [self._launch(tile, one, 1) for one in range(self.count)]

        def run() -> None:
            for launch in launches:
                launch()

        return run

    def at_once(self, tile: Tile) -> Launch:
        """A launch for each, on streams of their own, which begin and end with this one."""
        launches = [self._launch(tile, one, 1) for one in range(self.count)]
        with self._gpu.stream() as stream:
            streams = [self._gpu.another_stream() for _ in launches]

        def run() -> None:
            begin = self._gpu.event(timing=False)
            begin.record(stream)
            ends = []
            for launch, own in zip(launches, streams, strict=True):
                own.wait_event(begin)
                with own:
                    launch()
                ends.append(self._gpu.event(timing=False))
                ends[-1].record(own)
            for end in ends:
                stream.wait_event(end)

        return run

    def by_library(self) -> None:
        """One call of cuBLAS for all; it is column-major, so the operands change places."""
        m, n, k = self._extents
        self._gpu.multiply_by_stride(
            (False, False), (n, m, k), 1.0, 0.0,
            (int(self._right.ptr), n, k * n), (int(self._left.ptr), k, m * k), (int(self._result.ptr), n, m * n),
            self.count,
        )  # fmt: skip

    def seconds(self, way: Launch) -> float:
        """Median of rounds, after one that is checked."""
        taken = []
        with self._gpu.stream() as stream:
            self._check(way, stream)
            for _ in range(ROUNDS):
                begin, end = self._gpu.event(timing=True), self._gpu.event(timing=True)
                begin.record(stream)
                way()
                end.record(stream)
                end.synchronize()
                taken.append(self._gpu.seconds(begin, end))
        return statistics.median(taken)

    def _launch(self, tile: Tile, first: int, count: int) -> Launch:
        m, n, _ = self._extents
        each = tile.tiles(m, n)
        with self._gpu.stream() as stream:
            begins = self._gpu.upload((np.arange(count, dtype=np.int32) * each).tobytes(), stream)
        function = self._gpu.function(Variant("gemm", tile).source, "grouped_gemm")
        at = np.uint64(int(self._problems.ptr) + first * MATRICES.itemsize)
        return lambda: function((each * count,), (tile.threads,), (at, np.uint64(begins.ptr), np.int32(count)))

    def _check(self, way: Launch, stream: Any) -> None:
        pinned, view = self._gpu.pinned(self._wanted.nbytes)
        view[:] = 0
        copy_in(self._result, 0, pinned, 0, len(view), stream)
        way()
        copy_out(self._result, 0, pinned, 0, len(view), stream)
        stream.synchronize()
        error = np.abs(view.view(np.float32).reshape(self._wanted.shape) - self._wanted).max()
        if not error <= TOLERANCE * np.abs(self._wanted).max():
            raise ArithmeticError(f"{self.count} products of {self._extents}: off by {error:g}")
