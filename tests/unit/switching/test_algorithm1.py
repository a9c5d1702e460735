"""The paper's Algorithm 1: its rate, its search, its decisions and their times."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.algorithm1 import Algorithm1, Parallelism, TailCurve, search
from treadle_agent.policy.arrivals import EventWindow
from treadle_agent.policy.queues import Tenant

SLOW = TailCurve((10.0, 20.0), (0.2, 0.9))
FAST = TailCurve((10.0, 100.0), (0.1, 0.2))


def test_the_rate_is_that_between_the_oldest_and_the_youngest_of_the_window() -> None:
    window = EventWindow(events=5)
    assert window.rate() == 0.0
    window.add(0.0)
    assert window.rate() == 0.0
    for index in range(1, 50):
        window.add(index * 0.25)
    assert window.rate() == pytest.approx(4.0)
    for index in range(5):  # a burst fills the window, and nothing else is left in it
        window.add(20.0 + index * 0.01)
    assert window.rate() == pytest.approx(100.0)


def test_a_replay_does_not_turn_time_back() -> None:
    window = EventWindow(events=10)
    for time in (1.0, 2.0, 0.5, 3.0):
        window.add(time)
    assert window.rate() == pytest.approx(1.5)


def test_tails_are_linear_between_what_was_measured_and_infinite_beyond() -> None:
    assert SLOW.at(1.0) == SLOW.at(10.0) == 0.2
    assert SLOW.at(15.0) == pytest.approx(0.55)
    assert SLOW.at(20.0) == pytest.approx(0.9)
    assert SLOW.at(20.1) == float("inf")


@given(st.floats(0.0, 30.0))
def test_tails_never_fall_with_the_load(rate: float) -> None:
    assert SLOW.at(rate) <= SLOW.at(rate + 0.5)


def test_the_search_takes_what_keeps_the_deadline_longest_on_the_cores() -> None:
    wide = TailCurve((5.0, 40.0), (0.1, 0.6))
    many = TailCurve((5.0, 80.0), (0.4, 0.6))
    curves = {Parallelism(2, 8): wide, Parallelism(8, 2): many, Parallelism(16, 2): many}
    assert search(curves, 16, 0.7) == Parallelism(8, 2)
    assert search(curves, 16, 0.3) == Parallelism(2, 8)
    with pytest.raises(ValueError, match="fits 4 cores"):
        search(curves, 4, 0.7)


def test_the_most_accurate_tier_within_the_deadline_is_chosen_once_a_period(
    tenant: Callable[..., Tenant], asked: type
) -> None:
    one = tenant(0.1, 0.01, deadline=0.8, switching=Algorithm1([SLOW, FAST]))
    policy = one.switching
    arrivals = [(index * 0.1, 10) for index in range(10)] + [(1.0 + index * 0.02, 50) for index in range(60)]
    chosen = []
    for time, _ in arrivals:
        one.arrivals.add(time)
        chosen.append(policy.choose(one, asked(1), time, 99.0))  # the backlog is not its business
    assert chosen[:10] == [0] * 10
    at = {time: tier for (time, _), tier in zip(arrivals, chosen, strict=True)}
    assert at[1.5] == 0  # decided at 1.0, when the window held the old rate
    assert chosen[-1] == 1  # decided at 2.0


def test_the_fastest_answers_where_no_tier_keeps_the_deadline(tenant: Callable[..., Tenant], asked: type) -> None:
    one = tenant(0.1, 0.001, 0.01, deadline=0.05)
    policy = Algorithm1([SLOW, FAST, FAST])
    for index in range(40):
        one.arrivals.add(index * 0.001)
    assert policy.choose(one, asked(1), 1.0, 0.0) == 1
