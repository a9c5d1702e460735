"""Objects of a cluster, made short: for tests of the operator's policies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from treadle_api.conditions import Condition, ConditionStatus, with_condition
from treadle_api.histogram import BOUNDS
from treadle_api.node import CordonedDevice, Device, Node
from treadle_api.profile import BatchLatency, LoadLatency, Profile
from treadle_api.replica import Figures, Replica, ReplicaStatus, TierFigures
from treadle_api.tenant import Model, Precision, Replicas, Slo, Tenant, Tier
from treadle_api.units import Bytes, Percent, PerSecond, Seconds, TenantName, TierName
from treadle_operator.policy.changes import replica_name
from treadle_operator.policy.liveness import liveness_changes
from treadle_operator.snapshot import Cause, NodeView, ReplicaView, Snapshot, Taint, TenantView
from treadle_operator.tenant_status import TenantStatus

MIB = 1 << 20
GPU, CPU = "gpu", "cpu"  # device models
NOW = 1_790_000_000.0


def stamp(now: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()


def uri(model: str) -> str:
    return f"https://models.test/{model}"


def model_of(tier: Tier) -> str:
    return tier.model.uri.rpartition("/")[2]


def make_tenant(
    name: str = "digits",
    models: Sequence[str] = ("large", "small"),
    *,
    deadline: float = 0.1,
    objective: float = 99.0,
    floor: float = 0.0,
    rate: float | None = None,
    priority: int = 5,
    replicas: tuple[int, int] = (1, 1),
    selector: Iterable[tuple[str, str]] = (),
    pinned: str | None = None,
    digests: bool = True,
    precision: Precision = Precision.FLOAT32,
) -> Tenant:
    """Tiers t0, t1 … of the models, of accuracy 95, 90, 85 … percent."""
    tiers = [
        Tier(TierName(f"t{i}"), Percent(95.0 - 5 * i), Model(uri(model), digest(model) if digests else None), precision)
        for i, model in enumerate(models)
    ]
    return Tenant(
        name=TenantName(name),
        namespace="default",
        slo=Slo(Seconds(deadline), Percent(objective), Seconds(3600.0), Percent(floor)),
        tiers=tuple(tiers),
        requests_per_second=None if rate is None else PerSecond(rate),
        priority=priority,
        replicas=Replicas(*replicas),
        node_selector=tuple(selector),
        pinned=None if pinned is None else TierName(pinned),
    )


def view_tenant(
    tenant: Tenant, *, age: float = 1000.0, status: TenantStatus | None = None, generation: int = 1
) -> TenantView:
    return TenantView(tenant, f"uid-{tenant.name}", generation, NOW - age, status=status or TenantStatus())


def make_device(id_: str = "0", model: str = GPU, memory: int = 1024 * MIB, **changes: object) -> Device:
    device = Device(id_, model, Bytes(memory), Bytes(0), 0.0, 1.0, healthy=True, reason="")
    return replace(device, **changes)  # type: ignore[arg-type]


def make_node(
    name: str = "n0",
    devices: Sequence[Device] | None = None,
    *,
    alive: bool = True,
    unschedulable: bool = False,
    cordoned: Sequence[CordonedDevice] = (),
    labels: dict[str, str] | None = None,
    taints: Sequence[Taint] = (),
    core_cordoned: bool = False,
    address: str | None = None,
) -> NodeView:
    number = int("".join(filter(str.isdigit, name)) or 0)
    address = address or f"10.1.{number // 250}.{number % 250 + 1}:8000"
    found = (make_device(),) if devices is None else tuple(devices)
    node = Node(name, unschedulable, tuple(cordoned), address, found, (), 1)
    for heard in (True, alive):  # who is not heard of was so once
        for told in liveness_changes({name: NodeView(node, heard)}, NOW):
            node = replace(node, conditions=(told.condition,))
    return NodeView(node, alive, labels or {}, tuple(taints), core_cordoned)


def make_profile(
    model: str,
    seconds: float,
    *,
    device_model: str = GPU,
    memory: int = 10 * MIB,
    architecture: str = "",
    batches: Sequence[tuple[int, float]] = (),
    loads: Sequence[tuple[float, float]] = (),
    p99: float | None = None,
) -> Profile:
    """`seconds`: p50 of one row, and p99 unless given; `batches`: rows and p50; `loads`: rate and p99."""
    rows = [BatchLatency(1, Seconds(seconds), Seconds(seconds if p99 is None else p99))]
    rows += [BatchLatency(count, Seconds(p50), Seconds(p50)) for count, p50 in batches]
    points = tuple(LoadLatency(PerSecond(rate), Seconds(late / 2), Seconds(late)) for rate, late in loads)
    return Profile(digest(model), device_model, architecture, Bytes(memory), tuple(rows), points)


def make_figures(
    good: int = 0,
    *,
    late: int = 0,
    shed: int = 0,
    error: int = 0,
    accuracy: float = 95.0,
    bucket: int = 10,
    device_seconds: float = 0.0,
) -> Figures:
    """A window of 60 s; all answers in one bucket of the histogram."""
    counts = [0] * (len(BOUNDS) + 1)
    counts[bucket] = good + late
    return Figures(Seconds(60.0), good, late, shed, error, accuracy * good, tuple(counts), Seconds(device_seconds))


def make_replica(
    view: TenantView,
    place: str = "n0/0",
    *,
    serving: bool = True,
    age: float = 600.0,
    conditions: Iterable[Condition] = (),
    draining: bool = False,
    cause: Cause | None = Cause.ADMITTED,
    replaces: str = "",
    figures: Figures | None = None,
    tier: str | None = None,
    tiers: Sequence[TierFigures] = (),
    tenant: Tenant | None = None,
    address: str = "",
    epoch: int = 1,
    successors: Sequence[str] = (),
) -> ReplicaView:
    """A replica; `serving`: loaded and answering. `tenant`: that of the template, where it is not the present one."""
    node, device = place.split("/")
    status = ReplicaStatus()
    if serving:
        known = [
            Condition(type_, ConditionStatus.TRUE, type_, "", 1, stamp(NOW - age)) for type_ in ("Loaded", "Serving")
        ]
        number = int("".join(filter(str.isdigit, node)) or 0)
        status = replace(status, conditions=tuple(known), address=address or f"10.1.0.{number + 1}:8000")
    for one in conditions:
        status = replace(status, conditions=with_condition(status.conditions, one, stamp(NOW)))
    status = replace(
        status,
        figures=figures or status.figures,
        active_tier=None if tier is None else TierName(tier),
        tiers=tuple(tiers),
    )
    replica = Replica(
        name=replica_name(view.tenant.name, node, device),
        namespace=view.tenant.namespace,
        tenant=tenant or view.tenant,
        tenant_generation=view.generation,
        node=node,
        device=device,
        epoch=epoch,
        draining=draining,
        successors=tuple(successors),
        generation=1,
        deleting=False,
        status=status,
    )
    return ReplicaView(replica, f"uid-{replica.name}", "1", view.uid, NOW - age, cause, replaces)


def said(type_: str, reason: str, *, holds: bool = False, message: str = "so it is", ago: float = 0.0) -> Condition:
    """A condition of an agent, about the present spec."""
    return Condition(
        type_, ConditionStatus.TRUE if holds else ConditionStatus.FALSE, reason, message, 1, stamp(NOW - ago)
    )


def make_snapshot(
    tenants: Iterable[TenantView] = (),
    nodes: Iterable[NodeView] = (),
    replicas: Iterable[ReplicaView] = (),
    profiles: Iterable[Profile] = (),
    epoch: int = 1,
    **others: object,
) -> Snapshot:
    return Snapshot(
        epoch,
        {view.tenant.key: view for view in tenants},
        {view.key: view for view in replicas},
        {view.node.name: view for view in nodes},
        {(profile.sha256, profile.device_model): profile for profile in profiles},
        **others,  # type: ignore[arg-type]
    )
