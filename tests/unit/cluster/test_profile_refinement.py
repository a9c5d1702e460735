"""A profile is written where there is none, or where what was measured differs by more than a tenth."""

from __future__ import annotations

from treadle_agent.cluster.profiles import refined
from treadle_api.profile import BatchLatency, LoadLatency, Profile
from treadle_api.units import Bytes, PerSecond, Seconds


def profile(p50: float, p99: float | None = None, *more: BatchLatency) -> Profile:
    alone = BatchLatency(1, Seconds(p50), Seconds(p99 or p50))
    return Profile("ab" * 32, "a CPU", "cd" * 32, Bytes(4096), (alone, *more))


def test_what_nobody_has_measured():
    assert refined(None, profile(0.001)) == profile(0.001)


def test_what_agrees_within_a_tenth_is_left_alone():
    assert refined(profile(0.001, 0.002), profile(0.00109)) is None
    assert refined(profile(0.001, 0.002), profile(0.00091)) is None


def test_what_differs_keeps_the_tail_that_was_measured():
    batch = BatchLatency(8, Seconds(0.004), Seconds(0.005))
    load = LoadLatency(PerSecond(10.0), Seconds(0.002), Seconds(0.003))
    known = Profile("ab" * 32, "a CPU", "", Bytes(1), (BatchLatency(1, Seconds(0.001), Seconds(0.003)), batch), (load,))
    found = refined(known, profile(0.002, None, BatchLatency(2, Seconds(0.003), Seconds(0.003))))
    assert found is not None
    assert [(one.rows, one.p50, one.p99) for one in found.batches] == [(1, 0.002, 0.006), (2, 0.003, 0.003)]
    assert found.loads == (), "others' rows and loads are theirs: server-side apply leaves them alone"
