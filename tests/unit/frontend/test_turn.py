"""A single long turn is no overload; a loop that cannot keep up is."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from treadle_agent.frontend.turn import PERIOD, TurnLength


class Loop:
    """A loop, a double: calls back what is due `late` seconds too late."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: tuple[float, Callable[[], None]] = (0.0, lambda: None)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> SimpleNamespace:
        self.due = when, callback
        return SimpleNamespace(cancel=lambda: None)

    def turn(self, late: float) -> None:
        when, callback = self.due
        self.now = when + late
        callback()


def measured(*turns: float) -> TurnLength:
    it, loop = TurnLength(), Loop()
    it._loop = loop  # type: ignore[assignment]
    it._arm()
    for late in turns:
        loop.turn(late)
    return it


def test_a_single_long_turn_counts_little_over_time():
    it = measured(*[0.0] * 50, 0.004, *[0.0] * 5)
    assert it.sustained < 0.001


def test_a_loop_that_cannot_keep_up_counts_in_full():
    it = measured(*[0.0] * 50, *[0.004] * 20)
    assert 0.0035 < it.sustained <= 0.004


def test_it_is_over_as_soon_as_it_is():
    it = measured(*[0.004] * 50, *[0.0] * round(0.06 / PERIOD))
    assert it.sustained < 0.0005


def test_the_longest_of_late_is_what_a_request_may_have_waited():
    assert measured(0.0, 0.01, 0.002).seconds == pytest.approx(0.007)
