"""Waits after failures grow, end, and are forgotten; and nothing may be done for ever at full speed."""

from __future__ import annotations

from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.units import Seconds
from treadle_operator.pace import Pace

TIMING = BackoffTiming(Seconds(0.25), Seconds(15.0))


def test_waits_double_to_the_longest() -> None:
    backoff: Backoff[str] = Backoff(TIMING)
    waits = [backoff.failed("a", Seconds(100.0)) - 100.0 for _ in range(9)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    backoff: Backoff[str] = Backoff(TIMING)
    assert backoff.failed("a", Seconds(100.0), 30.0) == 130.0


def test_a_success_ends_it_and_others_never_waited() -> None:
    backoff: Backoff[str] = Backoff(TIMING)
    backoff.failed("a", Seconds(100.0))
    assert backoff.waits("a", Seconds(100.2))
    assert not backoff.waits("a", Seconds(100.25))
    assert not backoff.waits("b", Seconds(100.0))
    backoff.succeeded("a")
    assert backoff.failed("a", Seconds(200.0)) == 200.25


def test_what_nobody_wants_any_more_is_forgotten() -> None:
    backoff: Backoff[str] = Backoff(TIMING)
    backoff.failed("a", Seconds(100.0))
    backoff.failed("b", Seconds(100.0))
    backoff.retain(frozenset({"b"}))
    assert len(backoff) == 1
    assert not backoff.waits("a", Seconds(100.0))


def test_pace_allows_a_burst_and_then_one_a_period() -> None:
    pace: Pace[str] = Pace(3, Seconds(10.0))
    now = Seconds(100.0)
    for _ in range(3):
        assert pace.until("a", now) <= now
        pace.took("a", now)
    assert pace.until("a", now) == 110.0
    assert pace.until("b", now) <= now


def test_pace_forgets_those_whose_credit_is_whole() -> None:
    pace: Pace[str] = Pace(3, Seconds(10.0))
    pace.took("a", Seconds(100.0))
    pace.forget_idle(Seconds(109.0))
    assert set(pace._spent) == {"a"}
    pace.forget_idle(Seconds(110.0))
    assert not pace._spent
