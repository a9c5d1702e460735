"""What is seen of each tenant: its replicas, and the load that they report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from treadle_api import histogram
from treadle_api.conditions import ConditionStatus
from treadle_api.replica import Figures, LoadedReason
from treadle_api.tenant import Tenant
from treadle_api.units import PerSecond, Seconds
from treadle_operator.policy.capacity import UNKNOWN_RATE
from treadle_operator.snapshot import ReplicaView, Snapshot, TenantView

DRAINED = "Drained"
DRAIN_LEAST = 60.0  # seconds that draining may take, ...
DRAIN_DEADLINES = 2.0  # ... or so many deadlines: no request is worth an answer by then

# Reasons of Loaded=False that are no refusal.
_ON_THE_WAY = frozenset({LoadedReason.LOADING, LoadedReason.NOT_LOADED, LoadedReason.STALE_EPOCH})

# Reasons of Loaded=False that another device may not have; all others lie in the tenant's models or manifest.
# ExecutorFailed is not among them: a tenant that is isolated for it would bring down the next executor too.
DEVICE_FAULTS = frozenset(
    {
        LoadedReason.LOAD_FAILED,
        LoadedReason.STORAGE_FAILED,
        LoadedReason.DEVICE_NOT_FOUND,
        LoadedReason.PRECISION_UNSUPPORTED,
        LoadedReason.INTERNAL_ERROR,
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an agent does not load what a replica's spec says."""

    reason: str
    message: str

    @property
    def elsewhere(self) -> bool:
        """Whether another device may load it."""
        return self.reason in DEVICE_FAULTS


@dataclass(frozen=True, slots=True)
class TenantState:
    """One tenant that is not being deleted.

    `current`: its replicas that are to serve, oldest first; `leaving`: those that drain, or are being deleted, or were
    an earlier tenant's of its name. `served`: what all of them counted in their last windows; `rate`: requests a second
    of that, or of what was told before while not all have reported; None where nothing is known.
    """

    view: TenantView
    current: tuple[ReplicaView, ...]
    leaving: tuple[ReplicaView, ...]
    served: Figures
    rate: PerSecond | None

    @property
    def offered(self) -> PerSecond:
        """The load to plan for: what is seen, and no less than what the tenant declares."""
        declared = self.view.tenant.requests_per_second
        if declared is None and self.rate is None:
            return UNKNOWN_RATE
        return PerSecond(max(declared or 0.0, self.rate or 0.0))


def read_tenants(snapshot: Snapshot) -> tuple[list[TenantState], list[ReplicaView]]:
    """The tenants in the order in which places are given out, and the replicas that are nobody's (any more).

    The most important first, and among equals the oldest.
    """
    replicas: dict[str, list[ReplicaView]] = {}
    strays: list[ReplicaView] = []
    for key in sorted(snapshot.replicas):
        view = snapshot.replicas[key]
        owner = snapshot.tenants.get(view.replica.tenant.key)
        if owner is None or owner.deleting:
            strays.append(view)
        else:
            replicas.setdefault(view.replica.tenant.key, []).append(view)
    ordered = sorted(
        (view for view in snapshot.tenants.values() if not view.deleting),
        key=lambda view: (view.tenant.priority, view.created, view.tenant.key),
    )
    alive = {name for name, node in snapshot.nodes.items() if node.alive}
    return [_state(view, replicas.get(view.tenant.key, []), alive) for view in ordered], strays


def wanted_template(tenant: Tenant) -> tuple[object, ...]:
    """What of a tenant's spec its replicas carry: they are written anew only when that has changed."""
    return tenant.slo, tenant.tiers, tenant.priority, tenant.pinned


def drained(view: ReplicaView) -> bool:
    """Whether nothing is left to answer there."""
    return view.draining is not None and view.draining.reason == DRAINED


def draining_since(tenants: Iterable[TenantState], before: Mapping[str, float], now: float) -> dict[str, float]:
    """Since when replicas have been seen to drain, by uid: by our own clock, for their agent's may be another.

    `before`: what the previous plan passed on.
    """
    return {
        view.uid: before.get(view.uid, now)
        for state in tenants
        for view in state.leaving
        if view.replica.draining and view.draining is not None
    }


def drain_until(view: ReplicaView, since: Mapping[str, float]) -> float | None:
    """When a draining replica may be deleted though it has not said that nothing is left; None before it drains."""
    began = since.get(view.uid)
    return None if began is None else began + max(DRAIN_LEAST, DRAIN_DEADLINES * view.replica.tenant.slo.deadline)


def up_to_date(view: ReplicaView) -> bool:
    """Whether the version that its spec asks for is the one that is loaded."""
    loaded = view.loaded
    return loaded is not None and loaded.holds and loaded.observed_generation >= view.replica.generation


def is_replaced(view: ReplicaView, others: Iterable[ReplicaView]) -> bool:
    """Whether one of the others was created to take over from it."""
    # Not later than, for creation times are whole seconds; a replica that itself replaced the other one is earlier.
    return any(one.replaces == view.place and one.created >= view.created for one in others if one is not view)


def is_stale(view: ReplicaView) -> bool:
    """Whether its agent refuses its spec because an earlier leader wrote it."""
    return view.loaded is not None and view.loaded.reason == LoadedReason.STALE_EPOCH


def refusal(view: ReplicaView) -> Refusal | None:
    """Why its agent does not load what its spec asks for; None while it does, or is at it."""
    loaded = view.loaded
    if loaded is None or loaded.status is not ConditionStatus.FALSE or loaded.reason in _ON_THE_WAY:
        return None
    if loaded.observed_generation < view.replica.generation:
        return None  # it is about an earlier spec
    return Refusal(loaded.reason, f"{view.place}: {loaded.message}")


def _state(view: TenantView, replicas: list[ReplicaView], alive: set[str]) -> TenantState:
    if not replicas:
        return TenantState(view, (), (), Figures(Seconds(0.0)), None)
    replicas.sort(key=lambda replica: (replica.created, replica.replica.name))
    current: list[ReplicaView] = []
    leaving: list[ReplicaView] = []
    for one in replicas:
        stays = one.tenant_uid == view.uid and not one.replica.draining and not one.replica.deleting
        (current if stays else leaving).append(one)
    reported = [
        one.replica.status.figures
        for one in replicas
        if one.tenant_uid == view.uid and one.replica.node in alive and one.replica.status.figures.window > 0
    ]
    rate = PerSecond(sum(figures.total / figures.window for figures in reported)) if reported else None
    return TenantState(view, tuple(current), tuple(leaving), _sum(reported), _remembered(view, rate, current, alive))


def _remembered(
    view: TenantView, rate: PerSecond | None, current: list[ReplicaView], alive: set[str]
) -> PerSecond | None:
    """While replicas are silent or have not reported, requests come all the same: as many as were last told of."""
    told = view.status.requests_per_second
    if told is None or all(one.replica.node in alive and one.replica.status.figures.window > 0 for one in current):
        return rate
    return max(told, rate or PerSecond(0.0))


def _sum(reported: list[Figures]) -> Figures:
    if len(reported) == 1:
        return reported[0]
    return Figures(
        window=max((figures.window for figures in reported), default=Seconds(0.0)),
        good=sum(figures.good for figures in reported),
        late=sum(figures.late for figures in reported),
        shed=sum(figures.shed for figures in reported),
        error=sum(figures.error for figures in reported),
        accuracy_credit=sum(figures.accuracy_credit for figures in reported),
        latency_counts=histogram.add(figures.latency_counts for figures in reported),
        device_seconds=Seconds(sum(figures.device_seconds for figures in reported)),
    )
