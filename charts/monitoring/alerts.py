"""What a person is told: when a tenant's budget burns, and when a part of treadle is not there."""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.document import Group, Json, Rule
from monitoring.slo import ACCURACY, GAP, OBJECTIVES, REQUESTS, TENANT, Objective

# Factor, and the two windows that both must burn as fast: the Site Reliability Workbook, chapter 5, and Sloth.
PAGE = ((14.4, "5m", "1h"), (6, "30m", "6h"))
TICKET = ((3, "2h", "1d"), (1, "6h", "3d"))
SEVERITIES = {"critical": ("page", PAGE), "warning": ("ticket", TICKET)}

_ANNOTATIONS = {
    REQUESTS: (
        "TreadleErrorBudgetBurn",
        "Tenant {{ $labels.tenant_namespace }}/{{ $labels.tenant }} misses its deadline too often",
        "Too many of its requests are late, refused or failed: its error budget is spent before its time.",
    ),
    ACCURACY: (
        "TreadleAccuracyBudgetBurn",
        "Tenant {{ $labels.tenant_namespace }}/{{ $labels.tenant }} loses more accuracy than it may",
        "Less accurate tiers, or answers that come too late, take its effective accuracy towards the floor.",
    ),
}


@dataclass(frozen=True, slots=True)
class Symptom:
    """A part that is not as it should be, for longer than `lasting`."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str


def _of_tenants(condition: str) -> str:
    """As the leader tells it, or one told it that led a moment ago."""
    return f'max by ({TENANT}) (last_over_time(treadle_tenant_condition{{condition="{condition}"}}[{GAP}]))'


_ONE_TENANT = "Tenant {{ $labels.tenant_namespace }}/{{ $labels.tenant }}"
_ONE_DEVICE = "Device {{ $labels.device }} of node {{ $labels.node }}"
SYMPTOMS = (
    Symptom(
        "TreadleTenantNotReady",
        f"{_of_tenants('Ready')} == 0",
        "10m",
        "warning",
        f"{_ONE_TENANT} is not served by as many devices as it asks for",
        "Requests that find no device are counted nowhere: no budget burns of them.",
    ),
    Symptom(
        "TreadleTenantStraggling",
        f"{_of_tenants('Straggling')} == 1",
        "15m",
        "warning",
        f"{_ONE_TENANT} is slower than its kernels should be",
        "It was isolated, and is to be moved; a quarter of an hour later it still straggles.",
    ),
    Symptom(
        "TreadleNodeDown",
        "max by (node) (treadle_node_alive) == 0",
        "2m",
        "critical",
        "The agent of node {{ $labels.node }} is gone",
        "It renews its Lease no more. Its tenants are placed elsewhere, where there is room.",
    ),
    Symptom(
        "TreadleDeviceUnhealthy",
        "max by (node, device) (treadle_device_healthy) == 0",
        "1m",
        "critical",
        f"{_ONE_DEVICE} is not in order",
        "Its agent reports a fault of the device, and why in the InferenceNode's status. Its tenants are moved away.",
    ),
    Symptom(
        "TreadleDeviceCordoned",
        "max by (node, device) (treadle_device_cordoned) == 1",
        "1h",
        "warning",
        f"{_ONE_DEVICE} takes no tenants",
        "The operator, since it slows all its tenants, or a person has closed it, and nobody has opened it again.",
    ),
    Symptom(
        "TreadleExecutorDown",
        "max by (node, device) (treadle_executor_up) == 0",
        "2m",
        "critical",
        "The executor of device {{ $labels.device }} on node {{ $labels.node }} does not answer",
        "Requests for its tenants wait until they are late.",
    ),
    Symptom(
        "TreadleOperatorWithoutLeader",
        "sum(treadle_operator_leader) == 0 or absent(treadle_operator_leader)",
        "1m",
        "critical",
        "No operator leads",
        "What is served goes on being served; nothing is placed, moved or told until one leads.",
    ),
    Symptom(
        "TreadleWatchDead",
        "sum by (kind) (increase(treadle_operator_watch_missed_total[15m])) > 0",
        "1m",
        "warning",
        "An operator's watch of {{ $labels.kind }} has missed changes",
        "A list found what the watch had not told. It is told nothing, or late; after two such lists it is restarted.",
    ),
    Symptom(
        "TreadleTargetDown",
        'up{job=~"treadle-(agent|operator)"} == 0',
        "5m",
        "warning",
        "Prometheus cannot scrape {{ $labels.job }} at {{ $labels.instance }}",
        "While that is so, other alerts about it stay silent.",
    ),
)


def alert_groups() -> list[Group]:
    """Two groups a promise have Sloth's name; the rest are treadle's own."""
    burning = [
        Group(
            f"sloth-slo-alerts-treadle-{objective.slo}",
            [_burning(objective, severity) for severity in SEVERITIES],
        )
        for objective in OBJECTIVES
    ]
    return [*burning, Group("treadle", [_alert(symptom) for symptom in SYMPTOMS])]


def _burning(objective: Objective, severity: str) -> Rule:
    name, summary, description = _ANNOTATIONS[objective]
    kind, pairs = SEVERITIES[severity]
    expression = "\nor\n".join(
        f"({_over(objective, factor, short)} and {_over(objective, factor, long)})" for factor, short, long in pairs
    )
    labels = {"severity": severity, "sloth_severity": kind}
    return {
        "alert": name,
        "expr": expression,
        "labels": labels,
        "annotations": _annotations(name, summary, description),
    }


def _over(objective: Objective, factor: float, window: str) -> str:
    """Whether so many times the budget is lost; without the window, so that two of them can be compared."""
    lost = f"max without (sloth_window) (slo:sli_error:ratio_rate{window}{{{objective.selector}}})"
    return f"({lost} > {factor} * slo:error_budget:ratio{{{objective.selector}}})"


def _alert(symptom: Symptom) -> Rule:
    return {
        "alert": symptom.name,
        "expr": symptom.expression,
        "for": symptom.lasting,
        "labels": {"severity": symptom.severity},
        "annotations": _annotations(symptom.name, symptom.summary, symptom.description),
    }


def _annotations(name: str, summary: str, description: str) -> Json:
    return {"summary": summary, "description": description, "runbook": f"docs/runbooks/{name}.md"}
