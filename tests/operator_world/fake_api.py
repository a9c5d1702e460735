"""An API server's objects, and what the operator's changes do to them; preconditions are asserted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

from operator_objects import NOW

from treadle_api.conditions import find_condition, with_condition
from treadle_api.node import CordonedDevice
from treadle_api.profile import Profile
from treadle_api.replica import Replica, ReplicaStatus
from treadle_api.tenant import Tenant
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
from treadle_operator.snapshot import EndpointSliceView, NodeView, ReplicaView, ServiceView, Snapshot, TenantView


@dataclass
class FakeApi:
    """`writes`: by tenant key, without events; `version` rises with each."""

    now: float = NOW
    epoch: int = 7
    tenants: dict[str, TenantView] = field(default_factory=dict)
    replicas: dict[str, ReplicaView] = field(default_factory=dict)
    nodes: dict[str, NodeView] = field(default_factory=dict)
    profiles: dict[tuple[str, str], Profile] = field(default_factory=dict)
    services: dict[str, ServiceView] = field(default_factory=dict)
    slices: dict[str, EndpointSliceView] = field(default_factory=dict)
    events: list[RecordEvent] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    version: int = 0
    hushed: bool = False

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.epoch,
            dict(self.tenants),
            dict(self.replicas),
            dict(self.nodes),
            dict(self.profiles),
            dict(self.services),
            dict(self.slices),
            self.hushed,
        )

    def put_tenant(self, tenant: Tenant) -> None:
        """As `kubectl apply`."""
        old = self.tenants.get(tenant.key)
        self.version += 1
        if old is None:
            self.tenants[tenant.key] = TenantView(tenant, f"uid-{self.version}", 1, self.now)
        elif old.tenant != tenant:
            self.tenants[tenant.key] = replace(old, tenant=tenant, generation=old.generation + 1)

    def delete_tenant(self, key: str) -> None:
        """With all that it owns, as the garbage collector would."""
        uid = self.tenants.pop(key).uid
        self.replicas = {name: one for name, one in self.replicas.items() if one.tenant_uid != uid}
        self.services = {name: one for name, one in self.services.items() if one.tenant_uid != uid}
        self.slices = {name: one for name, one in self.slices.items() if one.tenant_uid != uid}

    def report(self, key: str, status: ReplicaStatus) -> None:
        """An agent's write of a replica's status."""
        view = self.replicas[key]
        self.replicas[key] = replace(
            view, replica=replace(view.replica, status=status), resource_version=self._count(view.replica.tenant.key)
        )

    @singledispatchmethod
    def apply(self, change: Change) -> None:
        """What the API server does with a change."""
        raise AssertionError(f"unknown change {change}")

    @apply.register
    def _(self, change: CreateReplica) -> None:
        key, spec = f"{change.namespace}/{change.name}", change.spec
        assert key not in self.replicas, f"{key} is there already"
        assert spec.epoch == self.epoch
        replica = Replica(
            name=change.name,
            namespace=change.namespace,
            tenant=spec.tenant,
            tenant_generation=spec.tenant_generation,
            node=spec.node,
            device=spec.device,
            epoch=spec.epoch,
            draining=spec.draining,
            successors=spec.successors,
            generation=1,
            deleting=False,
            status=ReplicaStatus(),
        )
        version = self._count(spec.tenant.key)
        self.replicas[key] = ReplicaView(
            replica, f"uid-{version}", version, change.tenant_uid, self.now, change.cause, change.replaces
        )

    @apply.register
    def _(self, change: UpdateReplica) -> None:
        key, spec = f"{change.namespace}/{change.name}", change.spec
        view = self.replicas[key]
        assert (view.uid, view.resource_version) == (change.uid, change.resource_version)
        assert (view.replica.node, view.replica.device) == (spec.node, spec.device), "a replica's place is immutable"
        replica = replace(
            view.replica,
            tenant=spec.tenant,
            tenant_generation=spec.tenant_generation,
            epoch=spec.epoch,
            draining=spec.draining,
            successors=spec.successors,
            generation=view.replica.generation + 1,
        )
        assert replace(replica, generation=view.replica.generation) != view.replica, "an update that changes nothing"
        self.replicas[key] = replace(view, replica=replica, resource_version=self._count(spec.tenant.key))

    @apply.register
    def _(self, change: DeleteReplica) -> None:
        view = self.replicas.pop(f"{change.namespace}/{change.name}")
        assert (view.uid, view.resource_version) == (change.uid, change.resource_version)
        self._count(view.replica.tenant.key)

    @apply.register
    def _(self, change: ApplyService) -> None:
        self._count(f"{change.tenant_name}.{change.namespace}")
        view = ServiceView(change.namespace, change.name, change.tenant_uid, in_order=True)
        self.services[f"{change.namespace}/{change.name}"] = view

    @apply.register
    def _(self, change: ApplyEndpointSlice) -> None:
        version = self._count(f"{change.tenant_name}.{change.namespace}")
        self.slices[f"{change.namespace}/{change.name}"] = EndpointSliceView(
            namespace=change.namespace,
            name=change.name,
            uid=f"uid-{change.name}",
            resource_version=version,
            tenant_uid=change.tenant_uid,
            address_type=change.address_type,
            port=change.port,
            endpoints=change.endpoints,
        )

    @apply.register
    def _(self, change: DeleteEndpointSlice) -> None:
        view = self.slices.pop(f"{change.namespace}/{change.name}")
        assert (view.uid, view.resource_version) == (change.uid, change.resource_version)
        owner = next((one for one in self.tenants.values() if one.uid == view.tenant_uid), None)
        self._count(owner.tenant.key if owner is not None else "")

    @apply.register
    def _(self, change: WriteTenantStatus) -> None:
        key = f"{change.name}.{change.namespace}"
        view = self.tenants[key]
        assert view.uid == change.uid
        assert view.status != change.status, "a status that changes nothing"
        self.tenants[key] = replace(view, status=change.status)
        self._count(key)

    @apply.register
    def _(self, change: CordonDevices) -> None:
        view = self.nodes[change.node]
        others = [one for one in view.node.cordoned if not one.reason.startswith("Straggling: ")]
        self.cordon(change.node, *others, *change.cordoned)

    @apply.register
    def _(self, change: TellAlive) -> None:
        view = self.nodes[change.node]
        known = find_condition(view.node.conditions, change.condition.type)
        assert known is None or known.status is not change.condition.status, "tells nothing new"
        conditions = with_condition(view.node.conditions, change.condition, change.condition.last_transition_time)
        self.nodes[change.node] = replace(view, node=replace(view.node, conditions=conditions))

    @apply.register
    def _(self, change: RecordEvent) -> None:
        self.events.append(change)

    def cordon(self, node: str, *cordoned: CordonedDevice) -> None:
        """Replace all cordoned devices of a node."""
        view = self.nodes[node]
        self.nodes[node] = replace(view, node=replace(view.node, cordoned=cordoned))

    def _count(self, tenant: str) -> str:
        self.writes[tenant] += 1
        self.version += 1
        return str(self.version)
