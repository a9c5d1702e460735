"""Events: for transitions, and for nothing else."""

from __future__ import annotations

import pytest
from operator_objects import make_tenant, view_tenant

from treadle_api.conditions import Condition, ConditionStatus
from treadle_operator.policy.announcements import announce_status
from treadle_operator.tenant_status import TenantCondition, TenantStatus

T, F, U = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@pytest.mark.parametrize(
    ("type_", "old", "new", "event", "warning"),
    [
        ("Admitted", None, (T, "Placed"), None, None),
        ("Admitted", (F, "NoNodeMatches"), (T, "Placed"), "Admitted", False),
        ("Admitted", None, (F, "NoNodeMatches"), "NotAdmitted", True),
        ("Admitted", (F, "NoNodeMatches"), (F, "InsufficientMemory"), "NotAdmitted", True),
        ("Admitted", (F, "NoNodeMatches"), (F, "NoNodeMatches"), None, None),
        ("Admitted", (T, "Placed"), (T, "NowhereToMove"), None, None),
        ("Ready", None, (F, "Loading"), None, None),
        ("Ready", None, (F, "NotAdmitted"), None, None),
        ("Ready", None, (F, "ModelNotFound"), "NotReady", True),
        ("Ready", None, (T, "Serving"), "Ready", False),
        ("Ready", (F, "Loading"), (T, "Serving"), "Ready", False),
        ("Ready", (T, "Serving"), (F, "Loading"), "NotReady", True),
        ("Ready", (T, "Serving"), (T, "PreviousVersion"), None, None),
        ("SLOMet", None, (U, "NoRequests"), None, None),
        ("SLOMet", (U, "NoRequests"), (T, "InTime"), None, None),
        ("SLOMet", (U, "NoRequests"), (F, "RequestsLate"), "SLOMissed", True),
        ("SLOMet", (T, "InTime"), (F, "RequestsLate"), "SLOMissed", True),
        ("SLOMet", (F, "RequestsLate"), (T, "InTime"), "SLOMet", False),
        ("SLOMet", (F, "RequestsLate"), (U, "NoRequests"), None, None),
        ("AccuracyMet", (T, "FloorKept"), (F, "BelowFloor"), "AccuracyMissed", True),
        ("Straggling", None, (F, "AsExpected"), None, None),
        ("Straggling", (F, "AsExpected"), (T, "Moving"), "Straggling", True),
        ("Straggling", (T, "Moving"), (T, "CoolingDown"), None, None),
        ("Straggling", (T, "Moving"), (F, "AsExpected"), None, None),
    ],
)
def test_which_turns_are_told(type_: str, old, new, event: str | None, warning: bool | None) -> None:
    before = () if old is None else (Condition(type_, *old, "before"),)
    view = view_tenant(make_tenant(), status=TenantStatus(conditions=before))
    found = list(announce_status(view, TenantStatus(conditions=(Condition(type_, *new, "now"),))))
    if event is None:
        assert found == []
        return
    (one,) = found
    assert (one.reason, one.warning, one.message) == (event, warning, f"{new[1]}: now")
    assert (one.kind, one.namespace, one.name, one.uid) == ("InferenceTenant", "default", "digits", view.uid)


def test_a_long_message_is_cut_as_the_api_server_would_refuse_it() -> None:
    status = TenantStatus(conditions=(Condition(TenantCondition.ADMITTED, F, "NoNodeMatches", "x" * 5000),))
    (one,) = announce_status(view_tenant(make_tenant()), status)
    assert len(one.message) <= 1024


@pytest.mark.parametrize(
    ("old", "new", "pinned", "event"),
    [
        (None, "t0", None, None),
        (None, "t1", None, "Degraded"),
        ("t0", "t1", None, "Degraded"),
        ("t1", "t1", None, None),
        ("t1", "t2", None, None),  # it goes on
        ("t2", "t0", None, "Restored"),
        ("t0", "t0", None, None),
        ("t0", "t1", "t1", None),  # nothing is given up that anybody wants
        ("t1", None, None, None),  # the tiers have changed, and none was asked yet
        ("gone", "t1", None, "Degraded"),  # of an earlier spec
    ],
)
def test_degraded_service_is_told_when_it_begins_and_ends(old, new, pinned, event: str | None) -> None:
    tenant = make_tenant(models=("large", "medium", "small"), pinned=pinned)
    view = view_tenant(tenant, status=TenantStatus(active_tier=old))
    found = list(announce_status(view, TenantStatus(active_tier=new)))
    assert [(one.reason, one.warning) for one in found] == ([] if event is None else [(event, False)])


def test_what_is_degraded_to_is_named() -> None:
    view = view_tenant(make_tenant(floor=90.0), status=TenantStatus(active_tier="t0"))
    (one,) = announce_status(view, TenantStatus(active_tier="t1"))
    assert "by tier t1 (90 %) instead of tier t0 (95 %)" in one.message


@pytest.mark.parametrize(
    ("admitted", "events"),
    [("ModelNotFound", ["NotAdmitted"]), ("Placed", ["NotReady"])],
)
def test_what_both_conditions_say_is_told_once(admitted: str, events: list[str]) -> None:
    refused = Condition("Admitted", F if admitted != "Placed" else T, admitted, "no such file", 1, "")
    ready = Condition("Ready", F, "ModelNotFound", "no such file", 1, "")
    found = announce_status(view_tenant(make_tenant()), TenantStatus(conditions=(refused, ready)))
    assert [one.reason for one in found] == events
