"""Changes in the order that matters: those of one tenant, or of one node, follow each other; all others may overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteEndpointSlice,
    DeleteReplica,
    RecordEvent,
    TellAlive,
    UpdateReplica,
    WriteTenantStatus,
)
from treadle_operator.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Lane:
    """A tenant, or (without a namespace) a node."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"tenant {self.namespace}/{self.name}" if self.namespace else f"node {self.name}"


def in_lanes(changes: Iterable[Change], snapshot: Snapshot) -> dict[Lane, tuple[Change, ...]]:
    """The changes by lane, each lane in their order; an Event stays behind the change before it, which it tells of.

    Lanes are in the order in which they are to be begun: of thousands, all get a place before any gets a status.

    `snapshot` is the one that the changes were made from: it knows whose an object to delete is.
    """
    owners = {view.uid: view.tenant.name for view in snapshot.tenants.values()}
    lanes: dict[Lane, list[Change]] = {}
    last: Lane | None = None
    for change in changes:
        last = last if isinstance(change, RecordEvent) and last is not None else _lane(change, snapshot, owners)
        lanes.setdefault(last, []).append(change)
    return {lane: tuple(its) for lane, its in sorted(lanes.items(), key=lambda item: _rank(item[1]))}


def begun(changes: Sequence[Change]) -> tuple[Change, ...]:
    """What to do first of a lane in which nothing fails.

    After a replica is created its status is another, for the next plan to tell; and the Service, of no use before the
    replica answers, would keep others waiting for their place. Where it cannot be created, all else is still to do.
    """
    if not any(isinstance(change, CreateReplica) for change in changes):
        return tuple(changes)
    return tuple(takewhile(lambda change: not isinstance(change, ApplyService | WriteTenantStatus), changes))


def _rank(changes: Sequence[Change]) -> int:
    """Who has no place yet comes first, then what requests depend on, then what is only told."""
    if any(isinstance(change, CreateReplica) for change in changes):
        return 0
    return 2 if all(isinstance(change, WriteTenantStatus | RecordEvent) for change in changes) else 1


def _lane(change: Change, snapshot: Snapshot, owners: Mapping[str, str]) -> Lane:
    match change:
        case CreateReplica() | UpdateReplica():
            return Lane(change.namespace, change.spec.tenant.name)
        case DeleteReplica():
            replica = snapshot.replicas.get(f"{change.namespace}/{change.name}")
            return Lane(change.namespace, replica.replica.tenant.name if replica is not None else change.name)
        case ApplyService() | ApplyEndpointSlice():
            return Lane(change.namespace, change.tenant_name)
        case DeleteEndpointSlice():
            found = snapshot.slices.get(f"{change.namespace}/{change.name}")
            return Lane(change.namespace, owners.get(found.tenant_uid if found is not None else "", change.name))
        case WriteTenantStatus() | RecordEvent():
            return Lane(change.namespace, change.name)
        case CordonDevices() | TellAlive():
            return Lane("", change.node)
