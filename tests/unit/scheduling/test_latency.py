"""What a launch is expected to take, from what was measured for some numbers of problems."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.latency import LOOKED_UP, CostModel

NUMBERS = (1, 2, 8, 32, 64)
measured = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=len(NUMBERS)).map(
    lambda steps: tuple(zip(NUMBERS, accumulate(steps), strict=False))
)


@given(measured)
def test_more_problems_never_take_less_and_none_take_nothing(points) -> None:
    cost = CostModel(points)
    numbers = range(2 * LOOKED_UP)
    for figures in ([cost.profiled(number) for number in numbers], [cost.expected(number) for number in numbers]):
        assert figures[0] == 0.0
        assert all(less <= more + 1e-9 for less, more in pairwise(figures))
    assert [cost.expected(number) for number, _ in points] == pytest.approx([seconds for _, seconds in points])


def test_none_take_nothing_where_a_second_one_costs_more_than_the_first() -> None:
    assert CostModel(((1, 1.0), (2, 3.0))).expected(0) == 0.0
