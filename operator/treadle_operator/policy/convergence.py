"""From what is to what should be: the changes that are left to make, make-before-break."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle_api.replica import MOST_SUCCESSORS
from treadle_operator.policy.announcements import about, announce_cordons, announce_status
from treadle_operator.policy.changes import (
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteEndpointSlice,
    DeleteReplica,
    RecordEvent,
    ReplicaSpec,
    UpdateReplica,
    WriteTenantStatus,
    replica_name,
    service_name,
)
from treadle_operator.policy.endpoints import slice_changes
from treadle_operator.policy.liveness import liveness_changes
from treadle_operator.policy.observation import drain_until, drained, is_stale, wanted_template
from treadle_operator.policy.plan import Placement, Plan, TenantPlan
from treadle_operator.snapshot import Cause, EndpointSliceView, ReplicaView, Snapshot, TenantView


def converge(snapshot: Snapshot, plan: Plan, now: float) -> tuple[Change, ...]:
    """The changes that bring the snapshot nearer to the plan, as far as that can be done now without a gap.

    Applied in this order, any prefix leaves a state from which the next plan and `converge` go on to the same end; the
    changes of one tenant must keep their order, those of different tenants may overlap. Events come behind the change
    that they tell of. When all are applied and nothing else changes, the next call returns ().

    While no agent at all is heard of, what serves is left as it is, and only told of. What a single silent agent had is
    taken away once all that is wanted answers elsewhere: it may be cut off, and serve on.

    Args:
        snapshot: the objects that the plan was made from, or later ones.
        plan: what should be.
        now: seconds since the epoch.
    """
    replicas: dict[str, list[ReplicaView]] = {}
    for key in sorted(snapshot.replicas):
        view = snapshot.replicas[key]
        replicas.setdefault(view.replica.tenant.key, []).append(view)
    slices: dict[str, list[EndpointSliceView]] = {}
    for key in sorted(snapshot.slices):
        slices.setdefault(snapshot.slices[key].tenant_uid, []).append(snapshot.slices[key])
    alive = {name for name, node in snapshot.nodes.items() if node.alive}
    changes: list[Change] = []
    for key, tenant_plan in plan.tenants.items():
        tenant = snapshot.tenants.get(key)
        if tenant is not None and not tenant.deleting:
            own = [one for one in replicas.get(key, []) if one.tenant_uid == tenant.uid]
            one = _Tenant(snapshot, tenant, tenant_plan, own, alive, plan.memory.draining_since, now)
            changes += one.changes(slices.get(tenant.uid, []))
    if not snapshot.hushed:
        changes += _orphans(snapshot)
    changes += liveness_changes(snapshot.nodes, now)
    for node in sorted(plan.cordons):
        if node in snapshot.nodes:
            changes.append(CordonDevices(node, plan.cordons[node]))
            changes += announce_cordons(snapshot.nodes[node], plan.cordons[node])
    return tuple(changes)


def _orphans(snapshot: Snapshot) -> Iterator[Change]:
    """What a tenant has left that was deleted without what it owns: nobody else would take it away.

    Not what an owner has that is not known: that is the garbage collector's, or its owner is still to be heard of.
    """
    replicas = {key: one for key, one in snapshot.replicas.items() if not one.tenant_uid and not one.replica.deleting}
    for _, one in sorted(replicas.items()):
        yield DeleteReplica(one.replica.namespace, one.replica.name, one.uid, one.resource_version)
    slices = {key: found for key, found in snapshot.slices.items() if not found.tenant_uid and found.managed}
    for _, found in sorted(slices.items()):
        yield DeleteEndpointSlice(found.namespace, found.name, found.uid, found.resource_version)


class _Tenant:
    """One tenant's changes."""

    def __init__(
        self,
        snapshot: Snapshot,
        view: TenantView,
        plan: TenantPlan,
        replicas: list[ReplicaView],
        alive: set[str],
        draining_since: Mapping[str, float],
        now: float,
    ) -> None:
        self._snapshot = snapshot
        self._view = view
        self._plan = plan
        self._replicas = replicas
        self._alive = alive
        self._draining_since = draining_since
        self._now = now
        self._wanted = {placement.place: placement for placement in plan.placements}
        leaving = [one for one in replicas if one.replica.draining and not one.replica.deleting]
        self._gone = [one for one in leaving if self._has_drained(one)]
        self._draining = [one for one in leaving if not self._has_drained(one)]
        self._current = [one for one in replicas if not one.replica.draining and not one.replica.deleting]
        surplus = [one for one in self._current if one.place not in self._wanted]
        silent = [one for one in surplus if not self._is_alive(one) and one.serves]
        self._gone += self._may_go(silent)
        self._gone += [one for one in surplus if not one.serves]
        self._to_drain = self._may_go([one for one in surplus if self._serves(one)])

    def changes(self, slices: list[EndpointSliceView]) -> Iterator[Change]:
        """What is to be done, in order: first what adds, then what takes away; at the end it is told."""
        if not self._snapshot.hushed:
            yield from self._create()
            yield from self._service(slices)
            yield from self._update()
            for one in self._gone:
                yield DeleteReplica(one.replica.namespace, one.replica.name, one.uid, one.resource_version)
                yield from self._given_up(one)
        if self._plan.status != self._view.status:
            tenant = self._view.tenant
            yield WriteTenantStatus(tenant.namespace, tenant.name, self._view.uid, self._plan.status)
            yield from announce_status(self._view, self._plan.status)

    def _create(self) -> Iterator[Change]:
        tenant, names = self._view.tenant, {one.replica.name for one in self._replicas}
        for placement in self._wanted.values():
            name = replica_name(tenant.name, placement.node, placement.device)
            # One that an earlier tenant of the name has left is in the way until it is collected.
            free = name not in names and f"{tenant.namespace}/{name}" not in self._snapshot.replicas
            if free and not placement.waits_for:
                spec = self._spec(placement.node, placement.device)
                yield CreateReplica(tenant.namespace, name, self._view.uid, spec, placement.cause, placement.replaces)
                if (event := self._placed(placement)) is not None:
                    yield event

    def _service(self, slices: list[EndpointSliceView]) -> Iterator[Change]:
        tenant, name = self._view.tenant, service_name(self._view.tenant.name)
        service = self._snapshot.services.get(f"{tenant.namespace}/{name}")
        if service is not None and service.tenant_uid != self._view.uid:
            return  # a user's, who would not like endpoints in it; condition Ready tells
        if self._wanted and (service is None or not service.in_order):
            yield ApplyService(tenant.namespace, name, tenant.name, self._view.uid)
        yield from slice_changes(self._view, self._endpoints(), slices, self._snapshot.slices)

    def _endpoints(self) -> list[tuple[ReplicaView, bool]]:
        """The replicas that answer, each with whether new connections may go to it."""
        ending = {one.key for one in (*self._draining, *self._to_drain)}
        answering = [one for one in (*self._current, *self._draining) if self._serves(one)]
        return [(one, one.key not in ending) for one in answering]

    def _update(self) -> Iterator[Change]:
        template = wanted_template(self._view.tenant)
        for one in self._current:
            changed = wanted_template(one.replica.tenant) != template or self._refused_as_stale(one)
            if one.place in self._wanted and changed:
                yield self._replace(one, self._spec(one.replica.node, one.replica.device))
        successors = self._successors() if self._to_drain or self._draining else []
        for one in self._to_drain:
            yield self._replace(one, self._drain(one, successors))
            yield from self._given_up(one)
        for one in self._draining:
            spec = self._drain(one, successors)
            if spec.successors != one.replica.successors or self._refused_as_stale(one):
                yield self._replace(one, spec)

    def _may_go(self, surplus: list[ReplicaView]) -> list[ReplicaView]:
        """Those of the surplus that are not needed until all of the wanted answer."""
        if not surplus:
            return []
        answering = sum(one.place in self._wanted and self._serves(one) for one in self._current)
        return surplus[max(0, len(self._wanted) - answering) :]

    def _successors(self) -> list[str]:
        addresses = {
            one.replica.status.address for one in self._current if one.place in self._wanted and self._serves(one)
        }
        return sorted(addresses - {""})

    def _refused_as_stale(self, one: ReplicaView) -> bool:
        """Whether its agent waits for the present leader to say the same, or something else."""
        return is_stale(one) and one.replica.epoch < self._snapshot.epoch

    def _serves(self, one: ReplicaView) -> bool:
        return self._is_alive(one) and one.serves

    def _is_alive(self, one: ReplicaView) -> bool:
        return one.replica.node in self._alive

    def _has_drained(self, one: ReplicaView) -> bool:
        """Whether nothing is left to answer there, or there is nobody who could."""
        until = drain_until(one, self._draining_since)
        return one.replica.node not in self._alive or drained(one) or (until is not None and self._now >= until)

    def _spec(self, node: str, device: str) -> ReplicaSpec:
        return ReplicaSpec(self._view.tenant, self._view.generation, node, device, self._snapshot.epoch)

    def _drain(self, one: ReplicaView, successors: list[str]) -> ReplicaSpec:
        """Its spec as it is, but draining: what it serves does not change any more."""
        replica = one.replica
        others = tuple(address for address in successors if address != replica.status.address)[:MOST_SUCCESSORS]
        return ReplicaSpec(
            replica.tenant,
            replica.tenant_generation,
            replica.node,
            replica.device,
            self._snapshot.epoch,
            draining=True,
            successors=others or replica.successors,
        )

    def _replace(self, one: ReplicaView, spec: ReplicaSpec) -> UpdateReplica:
        return UpdateReplica(one.replica.namespace, one.replica.name, one.uid, one.resource_version, spec)

    def _placed(self, placement: Placement) -> RecordEvent | None:
        """Moves and more replicas are told of; a first placement is told by condition Admitted."""
        if placement.cause is Cause.ADMITTED:
            return None
        way = f"{placement.replaces} → {placement.place}" if placement.replaces else placement.place
        message = f"{way}: {placement.message}" if placement.message else way
        return about(self._view, placement.cause, message, warning=placement.cause is not Cause.SCALED_UP)

    def _given_up(self, one: ReplicaView) -> Iterator[Change]:
        note = self._plan.given_up.get(one.place)
        if note is not None:
            yield about(self._view, note.reason, f"{one.place}: {note.message}", warning=note.reason == "Preempted")
