"""An analytic GPU: what launches take alone, one after another, at once, and merged. Pure; no clock.

Structure, constants and their sources: docs/adr/0010-simulated-gpu.md. Nothing here has been measured on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

FLOAT_BYTES = 4
AT_ONCE = 4  # calibrated: kernels that run at once
ISSUE_SECONDS = 9e-6  # calibrated: of the host, for each launch


@dataclass(frozen=True, slots=True)
class Tile:
    """The part of a product's output that one multiprocessor computes at a time."""

    rows: int
    columns: int


TILES = (Tile(64, 64), Tile(128, 64), Tile(128, 128))


@dataclass(frozen=True, slots=True)
class Gpu:
    """Figures of one model: FLOP/s in float32 without tensor cores, bytes/s of memory and of the L2 cache, bytes."""

    name: str
    multiprocessors: int
    flops: float
    bandwidth: float
    l2_bandwidth: float
    memory: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("V100", 80, 15.7e12, 900e9, 2155e9, 16e9),
        Gpu("A100", 108, 19.5e12, 1555e9, 4970e9, 40e9),
        Gpu("H100", 132, 67e12, 3350e9, 6980e9, 80e9),
    )
}


@dataclass(frozen=True, slots=True)
class Product:
    """``(m, k) @ (k, n)`` in float32."""

    m: int
    n: int
    k: int

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.m * self.n * self.k

    @property
    def nbytes(self) -> float:
        """Bytes of both operands and the result."""
        return float(FLOAT_BYTES * (self.m * self.k + self.k * self.n + self.m * self.n))

    @property
    def is_matrix_vector(self) -> bool:
        """One row or one column."""
        return 1 in (self.m, self.n)


@dataclass(frozen=True, slots=True)
class Pass:
    """Work that only moves bytes."""

    nbytes: float


Work = Product | Pass


@dataclass(frozen=True, slots=True)
class Rules:
    """The model's rules that an ablation changes."""

    overlapped_issue: bool = False
    matrix_vector: bool = True
    traffic: bool = True
    at_once: int = AT_ONCE


@dataclass(frozen=True, slots=True)
class _Demand:
    """What a launch asks of the device."""

    tiles: int
    tile_seconds: float
    operand_bytes: float  # through the L2 cache
    nbytes: float  # distinct, through the memory bus


@dataclass(frozen=True, slots=True)
class GpuModel:
    """Seconds of launches on a GPU."""

    gpu: Gpu
    rules: Rules = field(default_factory=Rules)

    def kernel(self, work: Work, problems: int = 1, tile: Tile | None = None) -> float:
        """Seconds on the device of one launch with `problems` problems; of the best tile where none is given."""
        if tile is None and isinstance(work, Product):
            return min(self._device([self._demand(work, problems, one)]) for one in TILES)
        return self._device([self._demand(work, problems, tile or TILES[0])])

    def best_tile(self, work: Product, problems: int = 1) -> Tile:
        """The tile whose launch ends first."""
        return min(TILES, key=lambda tile: self.kernel(work, problems, tile))

    def launch(self, work: Work, problems: int = 1) -> float:
        """Seconds of one launch with `problems` problems, its issue included: a super-kernel."""
        return ISSUE_SECONDS + self.kernel(work, problems)

    def one_after_another(self, works: Sequence[Work]) -> float:
        """Seconds of launches of which one at a time is on the device: sharing by time alone."""
        alone = {one: self.kernel(one) for one in set(works)}
        kernels = [alone[one] for one in works]
        if not self.rules.overlapped_issue:
            return len(works) * ISSUE_SECONDS + sum(kernels)
        finished = 0.0
        for number, seconds in enumerate(kernels, start=1):
            finished = max(finished, number * ISSUE_SECONDS) + seconds
        return finished

    def at_once(self, works: Sequence[Work], tile: Tile | None = None) -> float:
        """Seconds of launches on streams of their own, each with its own best tile or `tile`: by space alone."""
        issue = len(works) * ISSUE_SECONDS
        asked = {one: self._demand(one, 1, tile or self._own_tile(one)) for one in set(works)}
        demands = [asked[one] for one in works]
        device = sum(self._device(batch) for batch in _batches(demands, self.rules.at_once))
        if self.rules.overlapped_issue:
            return max(issue, ISSUE_SECONDS + device)
        return issue + device

    def _own_tile(self, work: Work) -> Tile:
        return self.best_tile(work) if isinstance(work, Product) else TILES[0]

    def _demand(self, work: Work, problems: int, tile: Tile) -> _Demand:
        nbytes = problems * work.nbytes
        if isinstance(work, Pass) or (work.is_matrix_vector and problems == 1 and self.rules.matrix_vector):
            return _Demand(0, 0.0, 0.0, nbytes)
        tiles = problems * math.ceil(work.m / tile.rows) * math.ceil(work.n / tile.columns)
        flops = 2.0 * tile.rows * tile.columns * work.k
        operands = FLOAT_BYTES * tiles * (tile.rows + tile.columns) * work.k if self.rules.traffic else 0
        return _Demand(tiles, flops * self.gpu.multiprocessors / self.gpu.flops, operands, nbytes)

    def _device(self, demands: Sequence[_Demand]) -> float:
        """Seconds of launches that run at once: tiles in common waves, at their mean length.

        No shorter than the longest of them alone, no longer than all of them one after another.
        """
        tiles = sum(one.tiles for one in demands)
        arithmetic = 0.0
        if tiles:
            mean = sum(one.tiles * one.tile_seconds for one in demands) / tiles
            alone = [self._waves(one.tiles) * one.tile_seconds for one in demands]
            arithmetic = min(max(self._waves(tiles) * mean, *alone), sum(alone))
        operands = sum(one.operand_bytes for one in demands) / self.gpu.l2_bandwidth
        return max(arithmetic + operands, sum(one.nbytes for one in demands) / self.gpu.bandwidth)

    def _waves(self, tiles: int) -> int:
        return math.ceil(tiles / self.gpu.multiprocessors)


def _batches(demands: Sequence[_Demand], size: int) -> Iterator[list[_Demand]]:
    rest = iter(demands)
    while batch := list(islice(rest, size)):
        yield batch
