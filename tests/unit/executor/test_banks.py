"""Banks: a slot of its own for each problem that is on the device, and launches that cover each exactly once."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.banks import LARGEST_PADDING, Banks, Place, cover
from treadle_agent.executor.slab import PAGE_ROWS


def covered(place: Place) -> dict[int, int]:
    """The row that each slot is computed with."""
    rows: dict[int, int] = {}
    for block in place.blocks:
        for step in range(block.problems):
            assert block.slot + step not in rows, "computed twice"
            rows[block.slot + step] = block.row if block.alike else block.row + step
        within = block.row // PAGE_ROWS == (block.row + block.problems - 1) // PAGE_ROWS
        assert block.alike or within, "launches read one page of weights"
        assert block.slot // PAGE_ROWS == (block.slot + block.problems - 1) // PAGE_ROWS
    return rows


@given(st.data())
def test_every_problem_has_a_slot_of_its_own_and_its_own_weights(data: st.DataObject) -> None:
    banks, held = Banks(data.draw(st.floats(0.0, 30.0))), []
    for _ in range(8):
        if held and data.draw(st.booleans()):
            banks.give(held.pop(data.draw(st.integers(0, len(held) - 1))))
            continue
        rows = data.draw(st.lists(st.integers(0, 3 * PAGE_ROWS), min_size=1, max_size=150))
        held.append(place := banks.take(rows))
        computed = covered(place)
        assert [computed[slot] for slot in place.slots] == rows
        assert len(set(place.slots)) == len(rows)
    touched = [slot for place in held for slot in covered(place)]
    assert len(set(touched)) == len(touched), "what is computed for nobody hits nobody else's slot"


def cheapest(present: int, padding: float, start: int = 0, size: int = PAGE_ROWS) -> float:
    """By trying both, everywhere."""
    if not present:
        return 0.0
    half = size // 2
    if not half:
        return padding + 1
    low, high = present & (1 << half) - 1, present >> half
    parts = cheapest(low, padding, start, half) + cheapest(high, padding, start + half, half)
    return min(padding + size, parts)


@given(present=st.integers(1, (1 << PAGE_ROWS) - 1), padding=st.floats(0.0, 20.0))
def test_the_blocks_are_the_cheapest(present: int, padding: float) -> None:
    cost, blocks = cover(present, padding)
    assert cost == pytest.approx(cheapest(present, padding))
    assert cost == pytest.approx(sum(padding + size for _, size in blocks))
    assert all(start % size == 0 and size.bit_count() == 1 for start, size in blocks)


def test_where_a_launch_costs_nothing_nothing_is_computed_for_nobody() -> None:
    place = Banks(0.0).take([0, 1, 2, 9, 63])
    assert sum(block.problems for block in place.blocks) == 5


def test_a_profile_that_errs_does_not_make_two_tenants_pay_for_a_page() -> None:
    place = Banks(1e9).take([0, PAGE_ROWS - 1])
    assert len(place.blocks) == 2
    assert LARGEST_PADDING < PAGE_ROWS


def test_one_model_for_all_is_one_launch_or_a_few() -> None:
    sizes = [block.problems for block in Banks(6.0).take([7] * 100).blocks]
    assert sizes == [64, 32, 4]


def test_banks_are_used_again_lowest_first() -> None:
    banks = Banks(6.0)
    one, two = banks.take([3]), banks.take([3])
    for first, second in product([one, two], repeat=2):
        assert (first.slots == second.slots) == (first is second)
    banks.give(two)
    banks.give(one)
    assert banks.take([3]).slots == one.slots
