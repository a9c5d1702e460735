"""A single long turn is no overload; a loop that cannot keep up is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from treadle_agent.frontend.turn import PERIOD, TurnLength


class Loop:
    """A loop, a double: calls back what is due `late` seconds too late, after `work` seconds of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.due: tuple[float, Callable[[], None]] = (0.0, lambda: None)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> SimpleNamespace:
        self.due = when, callback
        return SimpleNamespace(cancel=lambda: None)

    def turn(self, late: float, work: float) -> None:
        when, callback = self.due
        self.now = when + late
        self.worked += work
        callback()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TurnLength]:
    def measure(*turns: float, share: float = 1.0) -> TurnLength:
        """After these turns; `share`: of each in which the loop had the processor."""
        it, loop = TurnLength(), Loop()
        monkeypatch.setattr(time, "thread_time", lambda: loop.worked)
        it._loop, it._worked = loop, 0.0  # type: ignore[assignment]
        it._arm()
        for late in turns:
            loop.turn(late, share * (late + PERIOD))
        return it

    return measure


def test_a_single_long_turn_counts_little_over_time(measured):
    assert measured(*[0.0] * 50, 0.004, *[0.0] * 5).sustained < 0.001


def test_a_loop_that_cannot_keep_up_counts_in_full(measured):
    assert 0.0035 < measured(*[0.0] * 50, *[0.004] * 20).sustained <= 0.004


def test_a_processor_that_others_have_is_no_overload(measured):
    assert measured(*[0.02] * 50, share=0.05).sustained < 0.0015


def test_many_short_turns_are_no_overload(measured):
    assert measured(*[0.0] * 50).sustained == 0.0


def test_it_is_over_as_soon_as_it_is(measured):
    assert measured(*[0.004] * 50, *[0.0] * round(0.06 / PERIOD)).sustained < 0.0005


def test_the_longest_of_late_is_what_a_request_may_have_waited(measured):
    assert measured(0.0, 0.01, 0.002).seconds == pytest.approx(0.007)
