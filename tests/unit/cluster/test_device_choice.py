"""Requests go to the device that is done first; how fast it works off what it owes is learned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.routing import Backlog, Candidate, choose_device


def test_an_idle_fast_device_then_the_slow_one_when_that_is_done_first():
    fast, slow = Candidate(0.0, 0.010), Candidate(0.0, 0.025)
    assert choose_device([slow, fast]) == 1
    assert choose_device([slow, Candidate(0.020, 0.010)]) == 0


def test_of_equals_the_first():
    assert choose_device([Candidate(1.0, 1.0), Candidate(0.5, 1.5)]) == 0


def test_a_backlog_is_what_is_owed_and_ends_with_it():
    it = Backlog()
    it.begin(0.1, now=0.0)
    it.begin(0.2, now=0.0)
    assert abs(it.wait - 0.3) < 1e-9
    it.end(0.1, now=0.1, done=True)
    assert abs(it.wait - 0.2) < 1e-9
    it.end(0.2, now=0.3, done=True)
    assert it.wait == 0.0


def test_merging_makes_a_device_faster_than_the_sum_of_its_requests():
    it = Backlog()
    now = 0.0
    for _ in range(100):  # eight requests of 10 ms at once, all done after 20 ms
        for _ in range(8):
            it.begin(0.01, now)
        now += 0.02
        for _ in range(8):
            it.end(0.01, now, done=True)
    assert 3.5 < it.pace < 4.5
    for _ in range(8):
        it.begin(0.01, now)
    assert 0.017 < it.wait < 0.023


def test_a_device_that_is_slower_than_it_was_measured_is_found_out():
    it = Backlog()
    now = 0.0
    for _ in range(50):
        it.begin(0.01, now)
        now += 0.04
        it.end(0.01, now, done=True)
    assert 0.24 < it.pace < 0.3


def test_idle_time_is_not_held_against_it():
    it = Backlog()
    for start in range(100):
        it.begin(0.01, float(start))
        it.end(0.01, start + 0.01, done=True)
    assert abs(it.pace - 1.0) < 1e-6


def test_what_was_shed_was_not_done():
    it = Backlog()
    for start in range(50):
        it.begin(0.01, float(start))
        it.end(0.01, start + 0.01, done=False)
    assert it.pace < 0.2


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans()), max_size=40))
def test_any_history_ends_with_nothing_owed_and_a_pace(requests):
    it, now = Backlog(), 0.0
    for work, _, _ in requests:
        it.begin(work, now)
    for work, seconds, done in requests:
        now += seconds
        it.end(work, now, done=done)
        assert it.wait >= 0.0
    assert it.wait == 0.0
    assert it.pace > 0.0
