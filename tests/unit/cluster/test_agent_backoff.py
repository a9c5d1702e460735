"""Each wait is twice the last one, up to a longest."""

from __future__ import annotations

from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.units import Seconds


def test_waits_double_up_to_the_longest():
    it = Backoff(BackoffTiming(Seconds(5.0), Seconds(60.0)))
    assert [it.failed("a", 100.0) - 100.0 for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    for _ in range(2000):
        it.failed("a", 0.0)  # no overflow


def test_keys_are_apart_and_success_forgets():
    it = Backoff(BackoffTiming(Seconds(1.0), Seconds(8.0)))
    it.failed("a", 0.0)
    it.failed("a", 0.0)
    it.failed("b", 0.0)
    assert it.next(0.0) == 1.0
    assert it.due(1.0) == {"b"}
    assert it.due(2.0) == {"a", "b"}
    assert it.waits("a", 1.5)
    assert not it.waits("a", 2.0)
    assert not it.waits("c", 0.0)
    it.succeeded("a")
    assert it.failed("a", 0.0) == 1.0
    it.retain({"a"})
    assert it.due(9.0) == {"a"}


def test_what_is_due_already_is_not_next():
    it = Backoff(BackoffTiming(Seconds(1.0), Seconds(8.0)))
    it.failed("a", 0.0)
    assert it.next(1.0) is None
