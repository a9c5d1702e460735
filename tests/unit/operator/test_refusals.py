"""What is told when the API server refuses a change."""

from __future__ import annotations

from operator_objects import make_tenant

from treadle_operator.policy.changes import (
    ApplyService,
    CordonDevices,
    CreateReplica,
    DeleteReplica,
    RecordEvent,
    ReplicaSpec,
    WriteTenantStatus,
)
from treadle_operator.policy.refusals import after_refusal
from treadle_operator.snapshot import Cause
from treadle_operator.tenant_status import TenantStatus

STATUS = WriteTenantStatus("team", "digits", "uid", TenantStatus())
TURNED = RecordEvent("InferenceTenant", "team", "digits", "uid", warning=False, reason="Ready", message="")
PLACED = RecordEvent("InferenceTenant", "team", "digits", "uid", warning=False, reason="NodeLost", message="")
SERVICE = ApplyService("team", "digits-treadle", "digits", "uid")


def test_the_tenant_is_told_of_a_replica_that_may_not_be_created() -> None:
    tenant = make_tenant("digits", ("large",))
    create = CreateReplica("team", "digits-1", "uid-1", ReplicaSpec(tenant, 1, "a", "0", 1), Cause.ADMITTED)
    event, *rest = after_refusal(create, "403 Forbidden: exceeded quota", [PLACED, SERVICE, PLACED])
    assert isinstance(event, RecordEvent)
    assert rest == [SERVICE, PLACED], "what is told of it did not happen; the others are not held up"
    assert (event.kind, event.name, event.uid) == ("InferenceTenant", "digits", "uid-1")
    assert event.message == "CreateReplica: 403 Forbidden: exceeded quota"


def test_only_what_tells_goes_on() -> None:
    event, *rest = after_refusal(SERVICE, "no", [PLACED, DeleteReplica("team", "r", "u", "1"), STATUS, TURNED])
    assert isinstance(event, RecordEvent)
    assert rest == [STATUS, TURNED]


def test_a_refused_replica_is_told_of_itself() -> None:
    [event] = after_refusal(DeleteReplica("team", "r", "u", "1"), "no", [])
    assert isinstance(event, RecordEvent)
    assert (event.kind, event.name, event.uid) == ("InferenceReplica", "r", "u")


def test_a_refused_status_is_no_transition() -> None:
    [event] = after_refusal(STATUS, "no", [TURNED])
    assert isinstance(event, RecordEvent)
    assert event.reason == "ChangeRefused"


def test_what_has_no_uid_is_left_to_the_log() -> None:
    assert list(after_refusal(CordonDevices("a", ()), "no", [])) == []
