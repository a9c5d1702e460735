"""What is left of a deadline when the device may be done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.way_back import HALF_LIFE, MOST_SHARE, WayBack

SECONDS = st.floats(0.0, 10.0)


def settled(seconds: float, count: int = 200) -> WayBack:
    it = WayBack()
    for _ in range(count):
        it.observe(seconds, 1.0)
    return it


def test_before_the_first_answer_the_whole_deadline_is_the_device_s():
    assert WayBack().leave(1.0, 1.1, 0.0, 1.02) == 1.1


def test_a_steady_way_back_is_left_and_no_more():
    it = settled(0.008)
    assert abs(it.expected(1.0) - 0.008) < 1e-4
    assert abs(it.leave(1.0, 1.1, 0.004, 1.0) - (1.1 - 0.012)) < 1e-4


def test_an_unsteady_one_is_left_more():
    it = WayBack()
    for turn in range(200):
        it.observe(0.002 + 0.012 * (turn % 2), 1.0)
    assert it.expected(1.0) >= 0.014, "hardly an answer takes longer"


def test_what_was_long_is_not_believed_for_ever():
    it = settled(0.5)
    assert abs(it.expected(1.0 + HALF_LIFE) / it.expected(1.0) - 0.5) < 1e-6
    assert it.expected(3.0) < 1e-5


@given(SECONDS, SECONDS, st.floats(1e-3, 10.0), SECONDS)
def test_something_of_a_deadline_is_always_the_device_s(seconds, waited, length, now):
    until = settled(seconds, 20).leave(5.0, 5.0 + length, waited, now)
    assert 5.0 + (1.0 - MOST_SHARE) * length - 1e-9 <= until <= 5.0 + length
