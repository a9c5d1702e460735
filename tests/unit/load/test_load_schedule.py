"""Schedules are what they claim to be: rates, spacing, shares, order."""

import numpy as np
import pytest

from treadle.load.schedule import Phase, Schedule, at_once, constant, merge, poisson


def test_poisson_counts_and_gaps_follow_the_profile():
    schedule = poisson([Phase(20, 100), Phase(10, 1000), Phase(20, 0)], seed=7)
    calm = schedule.times[schedule.times < 20]
    spike = schedule.times[(schedule.times >= 20) & (schedule.times < 30)]
    assert schedule.seconds == 50
    assert schedule.times.max() < 30
    assert abs(calm.size - 2000) < 5 * 2000**0.5
    assert abs(spike.size - 10_000) < 5 * 10_000**0.5
    gaps = np.diff(spike) * 1000  # exponential with mean 1: its standard deviation is 1 too
    assert gaps.mean() == pytest.approx(1, rel=0.05)
    assert gaps.std() == pytest.approx(1, rel=0.05)


def test_seed_decides_everything():
    make = lambda seed: poisson([Phase(5, 50)], seed=seed, weights=[1, 2])  # noqa: E731
    assert np.array_equal(make(3).times, make(3).times)
    assert np.array_equal(make(3).targets, make(3).targets)
    assert not np.array_equal(make(3).times[:10], make(4).times[:10])


def test_weights_share_out_the_targets():
    schedule = poisson([Phase(10, 4000)], seed=1, weights=[3, 0, 1])
    shares = np.bincount(schedule.targets, minlength=3) / len(schedule)
    assert shares[1] == 0
    assert shares[0] == pytest.approx(0.75, abs=0.02)


def test_constant_arrivals_are_evenly_spaced():
    schedule = constant([Phase(1, 10), Phase(1, 100)], seed=0)
    assert len(schedule) == 110
    assert np.allclose(np.diff(schedule.times[:10]), 0.1)
    assert np.allclose(np.diff(schedule.times[10:]), 0.01)


def test_merge_keeps_each_request_with_its_target():
    merged = merge(constant([Phase(1, 5)], seed=0, weights=[1, 0]), constant([Phase(2, 3)], seed=0, weights=[0, 1]))
    assert merged.seconds == 2
    assert np.all(np.diff(merged.times) >= 0)
    assert np.allclose(merged.times[merged.targets == 1], np.arange(6) / 3)


def test_closed_loop_asks_targets_in_turn():
    schedule = at_once(5, 2, seconds=1)
    assert schedule.targets.tolist() == [0, 1, 0, 1, 0]
    assert not schedule.times.any()


def test_silence_is_a_schedule():
    assert len(poisson([Phase(1, 0)], seed=0)) == 0


@pytest.mark.parametrize(
    ("times", "targets", "seconds"),
    [([0.2, 0.1], [0, 0], 1), ([0.1], [0, 0], 1), ([-1.0], [0], 1), ([2.0], [0], 1)],
)
def test_impossible_schedules_are_refused(times, targets, seconds):
    with pytest.raises(ValueError, match="times"):
        Schedule(np.array(times), np.array(targets, np.int32), seconds)


def test_impossible_phases_are_refused():
    with pytest.raises(ValueError, match="phase"):
        Phase(0, 10)
    with pytest.raises(ValueError, match="phase"):
        poisson([], seed=0)
