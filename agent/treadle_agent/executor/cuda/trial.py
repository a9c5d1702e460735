"""A program tried on the GPU on memory of its own: with each sensible tile, by cuBLAS, and with more and more problems.

At most 16 measurements, each of `tuner.BUDGET` seconds and three runs, and what they compile, which CuPy keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from treadle_agent.executor.cuda.choice import Choices, sensible
from treadle_agent.executor.cuda.device import timed
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.steps import Convolution, Product
from treadle_agent.executor.cuda.variants import Tile
from treadle_agent.executor.tuner import (
    BUDGET,
    LARGEST_TRIAL,
    MOST_PROBLEMS,
    PROBLEMS,
    Profile,
    fastest,
    profile_up_to,
    provisional,
)
from treadle_agent.program.model import Program

Seconds = list[float]  # of each kernel


class Trial:
    """Times one program with its model's weights, as often as `problems` are merged. Its memory is freed with it.

    All raise CuPy's OutOfMemoryError where the device has none for that.

    Raises:
        UnsupportedOnGpuError: it holds kernels that cannot run here.
        PrecisionError: float16 cannot hold its weights.
    """

    def __init__(self, gpu: Gpu, program: Program, slab: GpuSlab, weights: Path, problems: int = PROBLEMS) -> None:
        self._gpu, self._program, self._weights = gpu, program, weights
        self._slab = slab.like()
        self._rows: list[int] = []
        self._load(problems)  # first: what is refused holds nothing
        self._rule = GpuProgram(gpu, program, self._slab, problems)

    def choices(self) -> Choices:
        """For each product and convolution the tile that is fastest alone, and merged; cuBLAS where it beats that."""
        steps = ((kernel, one.step) for kernel, one in enumerate(self._rule.lowered))
        tried = {
            kernel: sensible(*step.matrices[:2]) for kernel, step in steps if isinstance(step, Product | Convolution)
        }
        alone: dict[int, dict[Tile, float]] = {kernel: {} for kernel in tried}
        merged: dict[int, dict[Tile, float]] = {kernel: {} for kernel in tried}
        for turn in range(max(map(len, tried.values()), default=0)):
            tiles = {kernel: some[turn] for kernel, some in tried.items() if turn < len(some)}
            body = self._made(Choices(tiles={kernel: (one, one) for kernel, one in tiles.items()}))
            for problems, found in ((1, alone), (PROBLEMS, merged)):
                seconds = self._seconds(body, problems)
                for kernel, tile in tiles.items():
                    found[kernel][tile] = seconds[kernel]
            del body  # its arena, before there is the next one's
        best = {kernel: min(found.values()) for kernel, found in merged.items()}
        chosen = {kernel: (_fastest(alone[kernel]), _fastest(merged[kernel])) for kernel in tried}
        return Choices(self._faster_by_library(best), chosen)

    def alone(self) -> Profile:
        """What it takes alone, by the rule."""
        return provisional(self._seconds(self._rule, 1))

    def profile(self, choices: Choices) -> Profile:
        """What the program takes so, for as many problems as their memory allows."""
        each = self._slab.row_bytes + self._rule.stride
        most = max(PROBLEMS, min(MOST_PROBLEMS, LARGEST_TRIAL // each))
        return profile_up_to(most, partial(self._seconds, self._made(choices, most)))

    def _faster_by_library(self, own: dict[int, float]) -> frozenset[int]:
        products = self._rule.library_products()
        if not products:
            return products
        seconds = self._seconds(self._made(Choices(products)), PROBLEMS)
        return frozenset(kernel for kernel in products if seconds[kernel] < own[kernel])

    def _made(self, choices: Choices, capacity: int = PROBLEMS) -> GpuProgram:
        return GpuProgram(self._gpu, self._program, self._slab, capacity, choices, modules=self._rule.modules)

    def _load(self, problems: int) -> None:
        more = range(len(self._rows), problems)
        self._rows += [self._slab.acquire(str(index), self._weights) for index in more]

    def _seconds(self, body: GpuProgram, problems: int) -> Seconds:
        """Fastest of a few runs of each kernel."""
        self._load(problems)
        with self._gpu.stream() as stream:
            bound = body.compose(list(enumerate(self._rows[:problems])), stream)
            return fastest(lambda: timed(self._gpu, bound, 0, body.length, stream), BUDGET)


def _fastest(seconds: Mapping[Tile, float]) -> Tile:
    return min(seconds, key=lambda tile: seconds[tile])
