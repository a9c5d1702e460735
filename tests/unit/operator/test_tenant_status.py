"""A tenant's status as it is written is read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.fields import FieldError
from treadle_api.units import Percent, PerSecond, Seconds, TierName
from treadle_operator.tenant_status import (
    CounterOffer,
    TenantCondition,
    TenantStatus,
    read_tenant_status,
    status_fields,
)

durations = st.integers(1, 3_600_000).map(lambda ms: Seconds(ms / 1000))
percents = st.integers(0, 10_000).map(lambda share: Percent(share / 100))
rates = st.tuples(st.integers(0, 999), st.integers(0, 5)).map(lambda pair: PerSecond(pair[0] / 10 ** pair[1]))
conditions = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(TenantCondition).map(str),
        status=st.sampled_from(ConditionStatus),
        reason=st.sampled_from(["Placed", "Loading"]),
        message=st.text("abc é", max_size=20),
        observed_generation=st.integers(0, 1 << 40),
        last_transition_time=st.just("2026-11-22T20:30:00Z"),
    ),
    max_size=5,
    unique_by=lambda condition: condition.type,
).map(tuple)
statuses = st.builds(
    TenantStatus,
    observed_generation=st.integers(0, 1 << 40),
    conditions=conditions,
    replicas_desired=st.integers(0, 1000),
    replicas_ready=st.integers(0, 1000),
    active_tier=st.none() | st.just(TierName("large")),
    effective_accuracy=st.none() | percents,
    p99=st.none() | durations,
    requests_per_second=st.none() | rates,
    url=st.sampled_from(["", "http://digits-treadle.shop.svc"]),
    counter_offer=st.none()
    | st.builds(
        CounterOffer,
        deadline=st.none() | durations,
        min_accuracy=st.none() | percents,
        requests_per_second=st.none() | rates,
    ),
)


@given(statuses)
def test_what_is_written_is_read_back(status: TenantStatus) -> None:
    written = json.loads(json.dumps({"status": status_fields(status)}))
    assert read_tenant_status(written) == status


def test_no_status_is_an_empty_one() -> None:
    assert read_tenant_status({"metadata": {"name": "x"}}) == TenantStatus()


def test_what_has_no_value_is_left_out() -> None:
    assert status_fields(TenantStatus()) == {
        "observedGeneration": 0,
        "conditions": [],
        "replicas": {"desired": 0, "ready": 0},
    }


def test_a_malformed_status_is_named() -> None:
    with pytest.raises(FieldError, match=r"status\.p99"):
        read_tenant_status({"status": {"p99": "12"}})


def test_conditions_of_others_are_not_read() -> None:
    ours = Condition("Ready", ConditionStatus.TRUE, "Serving", "", 1, "2026-11-22T20:30:00Z")
    fields = status_fields(TenantStatus(1, (ours, replace(ours, type="Audited"))))
    assert read_tenant_status({"status": fields}).conditions == (ours,)
