"""What is known of a cluster, and what follows from it for serving there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from treadle.doctor.finding import Finding, Verdict
from treadle_operator.snapshot import NodeView

# Resources of NVIDIA's device plugin: whole GPUs, shared ones, MIG instances of each profile.
GPU_RESOURCES = ("nvidia.com/gpu", "nvidia.com/mig-")
# Labels of a node with a GPU: by NVIDIA's feature discovery, and by Kubernetes' own (vendor 10de, display controllers).
GPU_LABELS = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
_RUNBOOK = "docs/runbooks"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Facts. `namespace`: where treadle's programs are. `undefined`: plurals of treadle's kinds that there are not.

    `led`: whether an operator holds its Lease. `nodes`: treadle's. `barren`: core Nodes with NVIDIA GPUs of which a Pod
    cannot ask for one. `has_runtime_class`: whether a Pod may get them by a runtime class instead. `may_apply`: whether
    this user may create tenants in the namespace `default`. `powerless`: what operator's and agents' accounts may not
    do and have to; None: this user may not ask.
    """

    namespace: str
    undefined: tuple[str, ...]
    led: bool
    nodes: tuple[NodeView, ...]
    barren: tuple[str, ...]
    has_runtime_class: bool
    may_apply: bool
    powerless: tuple[str, ...] | None


def is_barren(labels: Mapping[str, object], capacity: Mapping[str, object]) -> bool:
    """Whether a core Node has NVIDIA GPUs by its labels, and by its capacity none that a Pod could ask for."""
    offered = any(name.startswith(GPU_RESOURCES) and amount != "0" for name, amount in capacity.items())
    return any(labels.get(label) == "true" for label in GPU_LABELS) and not offered


def judge(cluster: Cluster) -> Iterator[Finding]:
    """One finding for each thing that serving needs."""
    if cluster.undefined:
        fix = "install the chart (docs/install.md), or apply the files of crds/"
        yield Finding("definitions", Verdict.LACKS, f"there are no {', '.join(cluster.undefined)}", fix)
    else:
        yield Finding("definitions", Verdict.OK, "treadle's kinds are known")
    yield _operator(cluster)
    yield from _agents(cluster)
    yield from _devices(cluster.nodes)
    yield from _closed(cluster.nodes)
    if cluster.barren and not cluster.has_runtime_class:
        says = f"of nodes {', '.join(cluster.barren)} no Pod gets a GPU"
        fix = "install NVIDIA's device plugin, or a RuntimeClass of the handler nvidia, as agent.runtimeClassName"
        yield Finding("GPUs", Verdict.NOTE, says, fix)
    if cluster.powerless is not None:
        yield _roles(cluster.powerless)
    if cluster.may_apply:
        yield Finding("permissions", Verdict.OK, "you may create tenants in the namespace default")
    else:
        fix = "bind the ClusterRole edit to yourself in the tenants' namespace"
        yield Finding("permissions", Verdict.NOTE, "you may not create tenants in the namespace default", fix)


def _operator(cluster: Cluster) -> Finding:
    if cluster.led:
        return Finding("operator", Verdict.OK, "one leads")
    fix = f"kubectl get pods -n {cluster.namespace}; {_RUNBOOK}/TreadleOperatorWithoutLeader.md"
    return Finding("operator", Verdict.LACKS, f"none leads in the namespace {cluster.namespace}", fix)


def _roles(powerless: tuple[str, ...]) -> Finding:
    if not powerless:
        return Finding("roles", Verdict.OK, "operator and agents may do their work")
    fix = "helm upgrade, or kubectl apply -f charts/treadle/rbac; nothing if they run as somebody else"
    return Finding("roles", Verdict.NOTE, ", ".join(powerless), fix)


def _agents(cluster: Cluster) -> Iterator[Finding]:
    alive = [view.node.name for view in cluster.nodes if view.alive]
    lost = sorted(view.node.name for view in cluster.nodes if not view.alive and not view.node.stopping)
    if alive:
        yield Finding("agents", Verdict.OK, f"{len(alive)} renew their Leases")
    else:
        fix = (
            f"kubectl get daemonset,pods -n {cluster.namespace}: does a node fit agent.nodeSelector? "
            f"kubectl logs -n {cluster.namespace} daemonset/treadle-agent: does its agent run?"
        )
        yield Finding("agents", Verdict.LACKS, "none renews its Lease", fix)
    if lost:
        yield Finding("agents", Verdict.NOTE, f"lost: {', '.join(lost)}", f"{_RUNBOOK}/TreadleNodeDown.md")


def _devices(nodes: Iterable[NodeView]) -> Iterator[Finding]:
    devices = [(view.node.name, device) for view in nodes if view.alive for device in view.node.devices]
    for node, device in devices:
        if not device.healthy:
            says = f"{device.id} of {node}: {device.reason}"
            yield Finding("devices", Verdict.NOTE, says, f"{_RUNBOOK}/TreadleDeviceUnhealthy.md")
    if devices and all(device.healthy for _, device in devices):
        yield Finding("devices", Verdict.OK, f"{len(devices)} are healthy")


def _closed(nodes: Iterable[NodeView]) -> Iterator[Finding]:
    """What takes no tenants by the operator's or somebody's word."""
    for view in nodes:
        node = view.node
        if not view.alive:
            continue
        if node.unschedulable:
            fix = f"kubectl edit inferencenode {node.name}, where nobody means it: spec.unschedulable"
            yield Finding("devices", Verdict.NOTE, f"{node.name} takes no tenants: it is unschedulable", fix)
        elif view.unschedulable:
            fix = f"kubectl uncordon {node.name}, where nobody means it"
            yield Finding("devices", Verdict.NOTE, f"{node.name} takes no tenants: its Node is cordoned", fix)
        for device in node.cordoned:
            says = f"{device.id} of {node.name} takes no tenants: it is cordoned ({device.reason})"
            yield Finding("devices", Verdict.NOTE, says, f"{_RUNBOOK}/TreadleDeviceCordoned.md")
