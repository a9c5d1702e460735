"""Which devices there are, which of them take new replicas, and which must be left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from treadle_api.node import Device
from treadle_api.tenant import Precision, Tenant
from treadle_api.units import Bytes
from treadle_operator.policy.liveness import was_heard
from treadle_operator.snapshot import Cause, NodeView, Snapshot, TaintEffect

# Of these Kubernetes itself says that they do not concern what a DaemonSet runs, as agents are: whether an agent lives
# is told by its Lease. Taints of accelerators keep away those who need none, and tenants are who they are kept for.
IGNORED_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/unschedulable",
        "nvidia.com/gpu",
        "amd.com/gpu",
    }
)

_TOLD = 4  # reasons, and nodes of each, that are told where there are many


@dataclass(frozen=True, slots=True)
class Leave:
    """Why the replicas of a device must go elsewhere. `serves`: until they have, they may go on where they are."""

    cause: Cause
    message: str
    serves: bool


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device; `place` is ``NODE/DEVICE``.

    `closed`: why it takes no new replicas, "" where it does; `leave`: None where replicas may stay. `avoided`: a taint
    asks to prefer others. `stretch`: as in `treadle_api.node.Device`.
    """

    place: str
    node: str
    id: str
    model: str
    memory: Bytes
    used: Bytes
    labels: Mapping[str, str]
    precisions: frozenset[Precision]
    closed: str
    leave: Leave | None
    avoided: bool
    stretch: float


def read_devices(snapshot: Snapshot) -> dict[str, DeviceState]:
    """All devices by place, in the order of their names."""
    states: dict[str, DeviceState] = {}
    for name in sorted(snapshot.nodes):
        view = snapshot.nodes[name]
        node_leave = _leave_node(view)
        node_closed = node_leave.message if node_leave else _closed_node(view)
        avoided = _taint(view, TaintEffect.PREFER_NO_SCHEDULE) is not None
        cordoned = {device.id: device.reason for device in view.node.cordoned}
        for device in sorted(view.node.devices, key=lambda device: device.id):
            leave = node_leave or _leave_device(device, cordoned)
            closed = node_closed or (leave.message if leave else "")
            place = f"{name}/{device.id}"
            states[place] = DeviceState(
                place=place,
                node=name,
                id=device.id,
                model=device.model,
                memory=device.memory,
                used=device.used,
                labels=view.labels,
                precisions=frozenset(device.precisions),
                closed=closed,
                leave=leave,
                avoided=avoided,
                stretch=device.stretch,
            )
    return states


def leave_missing(place: str, snapshot: Snapshot) -> Leave:
    """Why to leave a place that is no known device."""
    node = place.partition("/")[0]
    if node not in snapshot.nodes:
        return Leave(Cause.NODE_LOST, f"node {node} is gone", serves=False)
    if not snapshot.nodes[node].alive:
        return _not_heard_of(snapshot.nodes[node])
    return Leave(Cause.DEVICE_LOST, f"device {place} is gone", serves=False)


Terms = tuple[tuple[tuple[str, str], ...], frozenset[Precision]]


def terms_of(tenant: Tenant) -> Terms:
    """What a tenant asks of devices: labels of their nodes, and precisions. Tenants that agree in it may go anywhere
    that the others may.
    """
    return tenant.node_selector, frozenset(tier.precision for tier in tenant.served_tiers)


def lacking(terms: Terms, state: DeviceState) -> str:
    """What a device lacks of the terms, to be said behind its name; "" where it has all."""
    selector, precisions = terms
    for key, value in selector:
        if state.labels.get(key) != value:
            return f"lacks label {key}={value}"
    for precision in Precision:
        if precision in precisions and precision not in state.precisions:
            return f"does not compute {precision}"
    return ""


def explain_none(tenant: Tenant, states: Iterable[DeviceState]) -> str:
    """Why no device takes a tenant, counted, with some of the nodes: to be said where none is open to it.

    In a cluster of thousands this stays a sentence, and far below what a condition's message may hold.
    """
    nodes: dict[str, list[str]] = {}  # of each device, by reason
    terms = terms_of(tenant)
    for state in states:
        reason = lacking(terms, state) or state.closed.replace(f"node {state.node}", "its node")
        nodes.setdefault(reason, []).append(state.node)
    if not nodes:
        return "no node has a device: is an agent running, and does `kubectl get inode` list it?"
    total = sum(map(len, nodes.values()))
    ordered = sorted(nodes, key=lambda reason: (-len(nodes[reason]), reason))
    told = [f"{len(nodes[reason])} of them: {reason} ({_some(nodes[reason])})" for reason in ordered[:_TOLD]]
    if rest := sum(len(nodes[reason]) for reason in ordered[_TOLD:]):
        told.append(f"{rest} of them: other reasons")
    return f"none of {total} devices takes it ({'; '.join(told)})"


def _some(names: Iterable[str]) -> str:
    """Some of the names, and how many others there are."""
    distinct = sorted(set(names))
    others = [f"{len(distinct) - _TOLD} more"] if len(distinct) > _TOLD else []
    return ", ".join([*distinct[:_TOLD], *others])


def _leave_node(view: NodeView) -> Leave | None:
    name = view.node.name
    if not view.alive:
        return _not_heard_of(view)
    if view.node.stopping:
        return Leave(Cause.NODE_STOPPING, f"the agent of node {name} was asked to stop", serves=True)
    if view.node.unschedulable:
        return Leave(Cause.DEVICE_CORDONED, f"node {name} is unschedulable (InferenceNode)", serves=True)
    if (taint := _taint(view, TaintEffect.NO_EXECUTE)) is not None:
        return Leave(Cause.NODE_UNFIT, f"node {name} has the taint {taint}", serves=True)
    return None


def _leave_device(device: Device, cordoned: Mapping[str, str]) -> Leave | None:
    if not device.healthy:
        return Leave(Cause.DEVICE_LOST, f"it is not healthy: {device.reason or 'no reason is given'}", serves=True)
    if device.id in cordoned:
        return Leave(Cause.DEVICE_CORDONED, f"it is cordoned: {cordoned[device.id]}", serves=True)
    return None


def _closed_node(view: NodeView) -> str:
    if view.unschedulable:
        return f"node {view.node.name} is cordoned"
    if (taint := _taint(view, TaintEffect.NO_SCHEDULE)) is not None:
        return f"node {view.node.name} has the taint {taint}"
    return ""


def _taint(view: NodeView, effect: TaintEffect) -> str | None:
    """The first taint of an effect that counts for tenants, as kubectl writes it."""
    for taint in view.taints:
        if taint.effect is effect and taint.key not in IGNORED_TAINTS:
            return f"{taint.key}={taint.value}:{effect}" if taint.value else f"{taint.key}:{effect}"
    return None


def _not_heard_of(view: NodeView) -> Leave:
    silent = "is not heard of any more" if was_heard(view.node) else "has not been heard of yet"
    return Leave(Cause.NODE_LOST, f"the agent of node {view.node.name} {silent}", serves=False)
