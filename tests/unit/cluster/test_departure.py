"""When an agent that was asked to stop may go."""

from __future__ import annotations

from treadle_agent.cluster.departure import LINGER_SECONDS, Departure


def test_who_serves_nobody_goes_at_once():
    assert Departure(until=125.0).is_over(serves=False, now=100.0)


def test_tenants_are_waited_for_and_after_the_last_one_those_who_do_not_know_yet():
    it = Departure(until=125.0)
    assert not it.is_over(serves=True, now=100.0)
    assert not it.is_over(serves=True, now=110.0)
    assert not it.is_over(serves=False, now=110.1)
    assert not it.is_over(serves=False, now=110.0 + 0.9 * LINGER_SECONDS)
    assert it.is_over(serves=False, now=110.0 + LINGER_SECONDS)


def test_one_that_comes_meanwhile_is_waited_for_too():
    it = Departure(until=125.0)
    assert not it.is_over(serves=True, now=100.0)
    assert not it.is_over(serves=False, now=101.0)
    assert not it.is_over(serves=True, now=102.0)
    assert not it.is_over(serves=False, now=102.0 + 0.9 * LINGER_SECONDS)


def test_nobody_is_waited_for_beyond_the_bound():
    it = Departure(until=125.0)
    assert not it.is_over(serves=True, now=124.9)
    assert it.is_over(serves=True, now=125.0)
