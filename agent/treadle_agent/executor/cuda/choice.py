"""Which tile computes a product or a convolution: what was measured, and until then a rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from treadle_agent.executor.cuda.variants import TILES, Tile

MULTIPROCESSORS = 100  # of the order of what a data-centre GPU has: a launch should have at least that many blocks
WASTE = 1.25  # times the fewest elements that any tile computes
_BY_NAME = {tile.name: tile for tile in TILES}


@dataclass(frozen=True, slots=True)
class Choices:
    """What computes a program's products and convolutions, by kernel (number).

    `library`: products that cuBLAS computes, whatever their number: answers would otherwise depend on the company.
    `tiles`: of own kernels, the greedy one, which was fastest alone, and the collaborative one, which was fastest with
    other problems merged (Jain et al. 2019, Table 1); all others go by the rule. Tiles change no bit of a result.
    """

    library: frozenset[int] = frozenset()
    tiles: Mapping[int, tuple[Tile, Tile]] = field(default_factory=dict)

    @classmethod
    def named(cls, library: Sequence[int], tiles: Sequence[tuple[int, str, str]]) -> Self:
        """From tiles' names; where there is no tile of a name any more the rule stands."""
        known = (one for one in tiles if {*one[1:]} <= _BY_NAME.keys())
        return cls(frozenset(library), {kernel: (_BY_NAME[one], _BY_NAME[other]) for kernel, one, other in known})

    def tile(self, kernel: int, matrices: tuple[int, int, int], problems: int) -> Tile:
        """The tile of a launch of so many problems; `matrices`: as in `steps.Product`."""
        if kernel in self.tiles:
            greedy, collaborative = self.tiles[kernel]
            return collaborative if problems > 1 else greedy
        rows, columns, each = matrices
        return tile_for(rows, columns, problems * each)


def sensible(m: int, n: int) -> list[Tile]:
    """The tiles that compute few elements in vain."""
    least = min(_computed(tile, m, n) for tile in TILES)
    return [tile for tile in TILES if _computed(tile, m, n) <= WASTE * least]


def tile_for(m: int, n: int, problems: int) -> Tile:
    """The rule: the largest sensible tile that still fills the device, or the smallest where none does."""
    filling = [tile for tile in sensible(m, n) if problems * tile.tiles(m, n) >= MULTIPROCESSORS]
    if not filling:
        return min(sensible(m, n), key=_area)
    return max(filling, key=_area)


def _area(tile: Tile) -> int:
    return tile.rows * tile.columns


def _computed(tile: Tile, m: int, n: int) -> int:
    return tile.tiles(m, n) * _area(tile)
