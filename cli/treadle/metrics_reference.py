"""The page of documentation about metrics: ``python -m treadle.metrics_reference FILE`` writes it.

It is rendered from what the programs tell of one tenant of three tiers on one device from its first scrape on, so no
metric can be told that is not on it, and it tells how many series that makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric

from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.frontend.promises import PromiseSeries
from treadle_agent.frontend.scrape import ExecutorSeries, Report, SupervisorCounters
from treadle_agent.metrics import DURATION_BUCKETS, REFUSALS, RequestMetrics, RequestSeries, TenantSeries
from treadle_agent.policy.switches import Switches
from treadle_api.objects import API_VERSION
from treadle_api.tenant import KIND, read_tenant
from treadle_operator.cluster_series import ClusterSeries
from treadle_operator.kube import kinds
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror

PAGE = "docs/reference/metrics.md"
NAME, NAMESPACE, TIERS, NODE, DEVICE = "digits", "team", ("large", "medium", "small"), "node-a", "GPU-0"

# All labels that there are, and what bounds the number of their values.
LABELS: Mapping[str, str] = {
    "tenant": "the tenant's name",
    "tenant_namespace": "the tenant's namespace; `namespace` is what Prometheus calls the Pod's",
    "tier": "the tenant's tiers, at most 16; empty where none answered",
    "outcome": "`good`, `late`, `shed`, `error`",
    "code": f"an HTTP status: of agents {', '.join(map(str, REFUSALS))}; of the API server any, 0 for no answer",
    "device": "the node's devices, by UUID or name",
    "node": "the cluster's nodes with an agent",
    "signature": "a kernel's operator and shapes: 2,000 at most, the others are `other`",
    "cache": "`plans`, `tuning`",
    "result": "`hit`, `miss`",
    "direction": "`up`, `down`",
    "reason": "why a tier was changed, or a tenant placed or moved: a dozen",
    "condition": "the types of an InferenceTenant's conditions",
    "verb": "`get`, `list`, `create`, `update`, `apply`, `patch`, `delete`",
    "kind": "the kinds of objects that the operator follows",
}

_HEAD = """\
<!-- Written by `{command}`; change the metrics instead. -->

# Metrics

In Prometheus's text format, or OpenMetrics's where that is asked for, at `/metrics`; agents tell their process's own
(`process_…`), too. Base units; what is counted begins at zero as soon as a tenant is known. What stands on these:
[monitoring.md](../monitoring.md).

Of a tenant of three tiers, an agent that serves it on one device tells {agent} series at most, {histogram} of them its
histogram's, and the operator that leads {operator}: {both} in all. Each further agent tells as many again; operators
that do not lead tell of nodes only.
"""
_UNITS = {"seconds": "seconds", "bytes": "bytes", "ratio": "ratio"}
_STORED = {"uid": "1", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
_TENANT = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": NAME, "namespace": NAMESPACE, **_STORED},
    "spec": {
        "slo": {"deadline": "100ms", "minAccuracy": "90"},
        "tiers": [
            {"name": name, "accuracy": str(97 - index), "model": {"uri": f"{name}.onnx"}}
            for index, name in enumerate(TIERS)
        ],
    },
}
_NODE = {
    "apiVersion": API_VERSION,
    "kind": "InferenceNode",
    "metadata": {"name": NODE, **_STORED},
    "status": {
        "devices": [
            {"id": DEVICE, "model": "A100", "memoryBytes": 1, "usedBytes": 0, "utilisation": "0", "stretch": "1",
             "healthy": True},
        ],
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """Metrics that one program tells."""

    title: str
    text: str
    families: Sequence[Metric]


def sections() -> Sequence[Section]:
    """All metrics of agents and operators, none of which has counted anything."""
    agent = [*_requests(), *PromiseSeries([read_tenant(_TENANT)]).collect(), *_executors()]
    return (
        Section("Agents", "On the port that serves tenants, and `treadle serve`'s.", agent),
        Section("Operators: the process", "Each tells its own.", _process()),
        Section(
            "Operators: the cluster",
            "The leader tells of tenants; of nodes and devices all tell the same: take the maximum over them.",
            _cluster(leads=True),
        ),
    )


def series_of_the_tenant(families: Iterable[Metric]) -> int:
    """How many series of the tenant families have."""
    return sum(sample.labels.get("tenant") == NAME for family in families for sample in family.samples)


def unit(name: str) -> str:
    """A metric's unit, which its name ends in; of what is counted, none."""
    return _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")


def labels(family: Metric) -> tuple[str, ...]:
    """A family's labels, in the order of its samples."""
    found = dict.fromkeys(label for sample in family.samples for label in sample.labels)
    return tuple(label for label in found if label != "le")


def markdown() -> str:
    """The page."""
    agent, process, cluster = sections()
    told = [series_of_the_tenant(section.families) for section in (agent, cluster)]
    command, histogram = f"python -m treadle.metrics_reference {PAGE}", len(DURATION_BUCKETS) + 3
    parts = [_HEAD.format(command=command, agent=told[0], histogram=histogram, operator=told[1], both=sum(told))]
    for section in (agent, process, cluster):
        parts.append(f"\n## {section.title}\n\n{section.text}\n\n")
        parts.append("| metric | type | unit | labels | |\n| --- | --- | --- | --- | --- |\n")
        parts += [_row(family) for family in section.families]
    parts.append("\n## Labels\n\n| label | values |\n| --- | --- |\n")
    parts += [f"| `{label}` | {text} |\n" for label, text in LABELS.items()]
    return "".join(parts)


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    shown = ", ".join(f"`{label}`" for label in labels(family))
    return f"| `{name}` | {family.type} | {unit(name)} | {shown} | {family.documentation} |\n"


def _requests() -> Iterable[Metric]:
    requests = RequestMetrics()
    requests.of(TenantSeries(NAME, NAMESPACE, TIERS))
    return RequestSeries([requests]).collect()


def _executors() -> Iterable[Metric]:
    document = Document(DEVICE, "space-time")
    document.tenants[1] = TenantStatistics(f"{NAME}.{NAMESPACE}", switches=Switches().by_name())
    document.launched([("matmul", 0.0, 1)], 1)
    return ExecutorSeries([Report(DEVICE, document, SupervisorCounters(0, 0))]).collect()


def _process() -> Sequence[Metric]:
    metrics = OperatorMetrics()
    metrics.requested("get", 500)
    metrics.objects.labels("")
    metrics.missed.labels("")
    return sorted(metrics.registry.collect(), key=lambda family: family.name)


def _cluster(*, leads: bool) -> Sequence[Metric]:
    mirror = Mirror(lambda: None)
    mirror.take(kinds.TENANTS, _TENANT)
    mirror.take(kinds.NODES, _NODE)
    return [*ClusterSeries(lambda: mirror.snapshot(0, frozenset({NODE})), lambda: leads).collect()]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown())
