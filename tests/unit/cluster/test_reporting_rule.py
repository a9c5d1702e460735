"""A flip is told at once, a figure when it has moved by more than a tenth and some seconds have passed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.cluster.reporting import HELD, differs, held, is_due
from treadle_api.conditions import ConditionStatus
from treadle_api.replica import ReplicaStatus
from treadle_api.tenant import Precision
from treadle_api.units import TierName


@pytest.mark.parametrize("rested", [False, True])
def test_what_is_as_it_was_is_not_told(status, rested):
    assert not is_due(status(), status(), rested=rested)


FLIPS = {
    "condition": {"loaded": ConditionStatus.FALSE},
    "reason": {"reason": "StaleEpoch"},
    "generation": {"observed_generation": 2},
    "epoch": {"observed_epoch": 2},
    "address": {"address": "10.0.0.8:8000"},
    "tiers": {"tiers": ()},
    "precision": {"precision": Precision.TF32},
}


@pytest.mark.parametrize("what", FLIPS)
def test_a_flip_is_told_at_once(status, what):
    assert is_due(status(), status(**FLIPS[what]), rested=False)


LOADING = {"loaded": ConditionStatus.FALSE, "reason": "Loading"}


def test_that_a_new_one_loads_is_held_back_a_moment_and_nothing_else(status):
    assert held(ReplicaStatus(), status(**LOADING)) == HELD
    assert held(ReplicaStatus(), status()) == 0.0
    assert held(ReplicaStatus(), status(**(LOADING | {"reason": "ModelNotFound"}))) == 0.0
    assert held(status(), status(**LOADING)) == 0.0, "something was told that is no longer so"


MOVES = {
    "good": {"good": 1101},
    "late": {"late": 89},
    "shed": {"shed": 111},
    "error": {"error": 12},
    "credit": {"accuracy_credit": 9.91e4},
    "latency": {"latency_counts": (0,) * 11 + (1100,) + (0,) * 20},
    "device time": {"device_seconds": 5.6},
    "service time": {"service": 0.0012},
    "tier": {"active_tier": TierName("small")},
    "nothing any more": {"good": 0},
}


@pytest.mark.parametrize("what", MOVES)
def test_a_figure_that_moved_by_more_than_a_tenth_waits_for_its_time(status, what):
    assert not is_due(status(), status(**MOVES[what]), rested=False)
    assert is_due(status(), status(**MOVES[what]), rested=True)


STILL = {
    "good": {"good": 1100},
    "error": {"error": 11},
    "credit": {"accuracy_credit": 9.89e4},
    "device time": {"device_seconds": 4.51},
    "window": {"window": 55.0},
    "latency": {"latency_counts": (0,) * 10 + (1190,) + (0,) * 21},
}


@pytest.mark.parametrize("what", STILL)
def test_a_smaller_move_is_not_told(status, what):
    assert not is_due(status(), status(**STILL[what]), rested=True)


def test_another_message_of_a_condition_is_no_flip(status):
    new = replace(status(), conditions=(replace(status().conditions[0], message="another"),))
    assert not is_due(status(), new, rested=False)
    assert is_due(status(), new, rested=True)


def test_the_time_of_a_condition_and_the_order_of_conditions_are_not_told(status):
    [loaded] = status().conditions
    other = replace(loaded, type="Serving")
    old = replace(status(), conditions=(loaded, other))
    new = replace(status(), conditions=(other, replace(loaded, last_transition_time="2027-01-01T00:00:00Z")))
    assert not is_due(old, new, rested=True)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_what_is_told_is_right_within_a_tenth(before, after):
    if not differs(before, after):
        assert abs(after - before) <= 0.1 * before
