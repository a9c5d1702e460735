"""What is still to be done of a tenant's changes when the API server refuses one of them: it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import dropwhile

from treadle_api import replica, tenant
from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    Change,
    CreateReplica,
    DeleteReplica,
    RecordEvent,
    UpdateReplica,
    WriteTenantStatus,
)

REFUSED = "ChangeRefused"


def after_refusal(refused: Change, why: str, later: Iterable[Change]) -> Iterator[Change]:
    """An Event about the refused change, and of what was to follow the status; the rest is left for the next plan.

    A replica that may not be created holds up nothing of what is there: a lost one still leaves the slices. A quota, a
    policy or a missing permission may refuse a change again and again: without this its tenant would be loading for
    ever, and nobody told.
    """
    if (subject := _subject(refused)) is not None:
        kind, namespace, name, uid = subject
        yield RecordEvent(kind, namespace, name, uid, True, REFUSED, f"{type(refused).__name__}: {why}")  # noqa: FBT003
    if isinstance(refused, CreateReplica):
        yield from dropwhile(lambda change: isinstance(change, RecordEvent), later)
    elif not isinstance(refused, WriteTenantStatus):
        yield from dropwhile(lambda change: not isinstance(change, WriteTenantStatus), later)


def _subject(change: Change) -> tuple[str, str, str, str] | None:
    """Kind, namespace, name and uid of the object to tell it of."""
    match change:
        case CreateReplica():
            return tenant.KIND, change.namespace, change.spec.tenant.name, change.tenant_uid
        case ApplyService() | ApplyEndpointSlice():
            return tenant.KIND, change.namespace, change.tenant_name, change.tenant_uid
        case WriteTenantStatus():
            return tenant.KIND, change.namespace, change.name, change.uid
        case UpdateReplica() | DeleteReplica():
            return replica.KIND, change.namespace, change.name, change.uid
        case _:
            return None
