"""Which implementation a product or a convolution starts with, until it is measured. Pure."""

from __future__ import annotations

from treadle_agent.executor.cuda.variants import TILES, Tile

MULTIPROCESSORS = 100  # of the order of what a data-centre GPU has: a launch should have at least that many blocks


def tile_for(m: int, n: int, problems: int) -> Tile:
    """The largest tile that still fills the device, among those that compute the fewest elements in vain."""

    def computed(tile: Tile) -> int:
        return tile.tiles(m, n) * tile.rows * tile.columns

    least = min(map(computed, TILES))
    thrifty = [tile for tile in TILES if computed(tile) <= 1.25 * least]
    filling = [tile for tile in thrifty if problems * tile.tiles(m, n) >= MULTIPROCESSORS]
    if not filling:
        return min(thrifty, key=lambda tile: tile.rows * tile.columns)
    return max(filling, key=lambda tile: tile.rows * tile.columns)
