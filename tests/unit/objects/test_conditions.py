"""Conditions: a map by type, whose times move with the status only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_api.conditions import Condition, ConditionStatus, find_condition, read_conditions, with_condition
from treadle_api.fields import ContradictionError, Fields, FieldValueError

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
EARLIER, NOW = "2026-11-22T20:30:00Z", "2026-11-22T20:31:00Z"
READY = Condition("Ready", TRUE, "Serving", "", 1, EARLIER)

conditions = st.builds(
    Condition,
    st.sampled_from(["Ready", "Admitted", "SLOMet"]),
    st.sampled_from(ConditionStatus),
    st.sampled_from(["A", "B"]),
    st.text(max_size=3),
    st.integers(0, 3),
)
times = st.integers(0, 59).map(lambda second: f"2026-11-22T20:30:{second:02}Z")


@given(st.lists(st.tuples(conditions, times)))
def test_there_is_one_condition_of_a_type_and_it_is_the_last(changes):
    kept: tuple[Condition, ...] = ()
    since: dict[str, tuple[ConditionStatus, str]] = {}
    for new, now in changes:
        kept = with_condition(kept, new, now)
        if since.get(new.type, (None, ""))[0] is not new.status:
            since[new.type] = (new.status, now)
        found = find_condition(kept, new.type)
        assert found == replace(new, last_transition_time=since[new.type][1])
    assert sorted(one.type for one in kept) == sorted(since)


def test_the_time_stays_while_the_status_does():
    (kept,) = with_condition([READY], Condition("Ready", TRUE, "Moved", "elsewhere", 2), NOW)
    assert kept == Condition("Ready", TRUE, "Moved", "elsewhere", 2, EARLIER)


def test_the_time_moves_with_the_status():
    (kept,) = with_condition([READY], Condition("Ready", UNKNOWN, "NodeLost", ""), NOW)
    assert (kept.status, kept.last_transition_time) == (UNKNOWN, NOW)


def test_others_keep_their_place():
    others = (Condition("A", FALSE, "X", ""), READY, Condition("Z", TRUE, "X", ""))
    changed = with_condition(others, Condition("Ready", FALSE, "Gone", ""), NOW)
    assert (changed[0], changed[2]) == (others[0], others[2])
    assert [one.type for one in changed] == ["A", "Ready", "Z"]


def test_unknown_does_not_hold():
    assert [Condition("A", status, "X", "").holds for status in (TRUE, FALSE, UNKNOWN)] == [True, False, False]


def test_a_condition_that_is_not_there_is_none():
    assert find_condition([READY], "Admitted") is None


RAW = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": EARLIER}


def test_conditions_are_read_in_their_order():
    raw = {"conditions": [{**RAW, "type": "B", "observedGeneration": 3}, RAW]}
    second, first = read_conditions(Fields("status", raw))
    assert first == Condition("Ready", TRUE, "Serving", "", 0, EARLIER)
    assert (second.type, second.observed_generation) == ("B", 3)
    assert read_conditions(Fields("status", {})) == ()


def test_a_type_is_there_once():
    with pytest.raises(ContradictionError, match=r"^status\.conditions\[1\]\.type: 'Ready'"):
        read_conditions(Fields("status", {"conditions": [RAW, RAW]}))


def test_times_are_days_of_the_calendar():
    with pytest.raises(FieldValueError, match=r"lastTransitionTime: '2026-02-29T00:00:00Z': day"):
        read_conditions(Fields("status", {"conditions": [{**RAW, "lastTransitionTime": "2026-02-29T00:00:00Z"}]}))
