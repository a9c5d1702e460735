"""What a cluster's objects tell, as rows: the same that `kubectl get it -o wide` shows of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from treadle.top.view import FALSE, TRUE, DeviceRow, Note, TenantRow
from treadle_agent.metrics import RequestOutcome
from treadle_api.conditions import ConditionStatus, find_condition
from treadle_api.node import ALIVE, Device, Node
from treadle_api.replica import Figures
from treadle_operator.snapshot import ReplicaView, TenantView
from treadle_operator.tenant_status import TenantCondition

# Of each condition: its column's name, and the status of it that somebody has to know of.
_CONDITIONS = {
    TenantCondition.ADMITTED: ("Admitted", FALSE),
    TenantCondition.READY: ("Ready", FALSE),
    TenantCondition.SLO_MET: ("SLO met", FALSE),
    TenantCondition.ACCURACY_MET: ("Accuracy met", FALSE),
    TenantCondition.STRAGGLING: ("Straggling", TRUE),
}


def tenant_row(view: TenantView, replicas: Iterable[ReplicaView]) -> TenantRow:
    """One tenant; `replicas`: its own."""
    tenant, status = view.tenant, view.status
    serving = [one for one in replicas if one.serves]
    tiers = Counter(one.replica.status.active_tier or "" for one in serving)
    found = {type_: find_condition(status.conditions, type_) for type_ in TenantCondition}
    said = {type_: str(one.status) if one is not None else "" for type_, one in found.items()}
    return TenantRow(
        namespace=tenant.namespace,
        name=tenant.name,
        deadline=tenant.slo.deadline,
        p99=status.p99,
        objective=tenant.slo.objective,
        slo_met=said[TenantCondition.SLO_MET],
        min_accuracy=tenant.slo.min_accuracy,
        effective_accuracy=status.effective_accuracy,
        accuracy_met=said[TenantCondition.ACCURACY_MET],
        requests_per_second=status.requests_per_second,
        requests=_requests([one.replica.status.figures for one in serving]),
        active_tier=status.active_tier or "",
        tiers={tier: round(count / tiers.total(), 4) for tier, count in tiers.most_common() if tier},
        admitted=said[TenantCondition.ADMITTED],
        ready=said[TenantCondition.READY],
        replicas=status.replicas_ready,
        straggling=said[TenantCondition.STRAGGLING],
        devices=tuple(sorted(one.place for one in serving)),
        notes=tuple(
            Note(column, one.reason)
            for type_, (column, wrong) in _CONDITIONS.items()
            if (one := found[type_]) is not None and one.status == wrong
        ),
    )


def _requests(figures: Sequence[Figures]) -> dict[str, int]:
    """What replicas counted in their last windows."""
    return {str(outcome): sum(getattr(one, outcome) for one in figures) for outcome in RequestOutcome}


def device_rows(nodes: Iterable[Node], replicas: Iterable[ReplicaView]) -> Sequence[DeviceRow]:
    """All devices, as the agents of their nodes told last."""
    serving = Counter(one.place for one in replicas if one.serves)
    return [
        _device(node, device, serving[f"{node.name}/{device.id}"])
        for node in sorted(nodes, key=lambda node: node.name)
        for device in node.devices
    ]


def _device(node: Node, device: Device, tenants: int) -> DeviceRow:
    alive = find_condition(node.conditions, ALIVE)
    silent = alive is not None and alive.status is ConditionStatus.FALSE
    return DeviceRow(
        node=node.name,
        device=device.id,
        healthy=device.healthy and not silent,
        busy=device.utilisation,
        merge_factor=device.merge_factor,
        tenants=tenants,
        used_bytes=device.used,
        memory_bytes=device.memory,
        stretch=device.stretch,
        reason="its agent is not heard of" if silent else device.reason,
    )
