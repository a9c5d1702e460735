"""Where a model is cut into segments."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.program.cutting import Step, choose, crossing


def chain(*seconds: float) -> list[Step]:
    return [Step((f"t{i}",) if i else (), (f"t{i + 1}",), cost) for i, cost in enumerate(seconds)]


def test_a_residual_crosses_until_it_is_read() -> None:
    steps = [Step((), ("a",), 1), Step(("a",), ("b",), 1), Step(("a", "b"), ("c",), 1), Step(("c",), ("d",), 1)]
    assert crossing(steps, ["d"]) == [("a",), ("a", "b"), ("c",), ()]


def test_an_output_that_is_read_later_crosses_and_one_that_is_not_does_not() -> None:
    steps = [Step((), ("early", "a"), 1), Step(("a",), ("b",), 1), Step(("b",), ("c",), 1)]
    assert crossing(steps, ["early", "c"]) == [("a",), ("b",), ()]
    steps[2] = Step(("b", "early"), ("c",), 1)
    assert crossing(steps, ["early", "c"])[1] == ("early", "b")


def test_equal_steps_are_cut_into_full_segments() -> None:
    steps = chain(*[1.0] * 10)
    assert choose(steps, crossing(steps, ["t10"]), 4.0) == [3, 7]


def test_the_narrowest_gap_wins_over_the_farthest() -> None:
    steps = chain(*[1.0] * 6)
    gaps = [("a",), ("a",), ("a", "b"), ("a", "b"), ("a",), ()]
    assert choose(steps, gaps, 3.0) == [1, 4]


def test_a_model_within_the_bound_or_without_a_gap_stays_whole() -> None:
    steps = chain(1.0, 1.0, 1.0)
    assert choose(steps, crossing(steps, ["t3"]), 3.0) == []
    assert choose(steps, [tuple("abcd")] * 3, 1.0) == []


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=40), st.floats(1.0, 5.0))
def test_segments_of_a_chain_stay_near_the_bound(costs: list[float], bound: float) -> None:
    steps = chain(*costs)
    cuts = choose(steps, crossing(steps, [f"t{len(costs)}"]), bound)
    edges = [0, *(cut + 1 for cut in cuts), len(costs)]
    pieces = [sum(costs[begin:end]) for begin, end in pairwise(edges)]
    # A head and a tail below a quarter of the bound are left with their neighbours.
    assert all(bound / 4 <= piece * 1.001 for piece in pieces) or len(pieces) == 1
    assert all(piece <= bound * 1.51 for piece in pieces)
