"""Which tile computes what: what was measured goes before the rule, alone and in company."""

import pytest

from treadle_agent.executor.cuda.choice import WASTE, Choices, sensible, tile_for
from treadle_agent.executor.cuda.variants import TILES

NAMES = {tile.name: tile for tile in TILES}
SMALL, WIDE, LARGE = NAMES["16x16"], NAMES["8x128"], NAMES["128x128"]


@pytest.mark.parametrize(
    ("m", "n", "problems", "name"),
    [
        (1, 512, 1, "8x128"),  # one row: all others compute rows that nobody asked for
        (256, 128, 1, "16x16"),  # 128 blocks; the next larger has too few to fill the device
        (256, 128, 64, "128x128"),
        (16, 16, 1, "16x16"),  # too small to fill it at all
        (16, 16, 64, "16x16"),
    ],
)
def test_the_rule_takes_the_largest_that_fills_the_device(m: int, n: int, problems: int, name: str) -> None:
    assert tile_for(m, n, problems).name == name


@pytest.mark.parametrize("m", [1, 8, 17, 64, 200])
@pytest.mark.parametrize("n", [1, 10, 128, 513])
def test_sensible_tiles_waste_little_and_hold_what_the_rule_takes(m: int, n: int) -> None:
    some = sensible(m, n)
    computed = {tile: tile.tiles(m, n) * tile.rows * tile.columns for tile in TILES}
    assert max(computed[tile] for tile in some) <= WASTE * min(computed.values())
    assert {tile_for(m, n, problems) for problems in (1, 8, 64)} <= set(some)


def test_the_greedy_tile_alone_the_collaborative_one_in_company_and_the_rule_for_all_others() -> None:
    choices = Choices(tiles={3: (WIDE, LARGE)})
    assert [choices.tile(3, (256, 128, 1), problems) for problems in (1, 2, 64)] == [WIDE, LARGE, LARGE]
    assert choices.tile(4, (256, 128, 1), 1) is SMALL
    assert choices.tile(4, (256, 128, 64), 1) is LARGE, "a batched product is many problems in one"


def test_kept_names_of_tiles_that_there_are_not_any_more_leave_the_rule() -> None:
    choices = Choices.named((0,), [(1, "8x128", "128x128"), (2, "8x128", "7x7"), (3, "", "16x16")])
    assert choices == Choices(frozenset({0}), {1: (WIDE, LARGE)})
