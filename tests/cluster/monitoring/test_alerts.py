"""Each alert fires when it should, and is silent when all is well, and when something else is wrong: by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MINUTES = 90
TENANT = 'tenant="digits", tenant_namespace="team"'
LABELS = {"tenant": "digits", "tenant_namespace": "team"}
DEVICE = 'node="node-a", device="GPU-0"'
AGENT = 'job="treadle-agent", instance="10.0.0.7:8000", node="node-a"'
OPERATORS = [f'job="treadle-operator", instance="10.0.0.{last}:8081"' for last in (8, 9)]


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def growing(a_minute: float) -> str:
    return f"0+{a_minute}x{MINUTES}"


def requests(good: float, late: float = 0.0, shed: float = 0.0) -> dict[str, str]:
    """A minute's requests, all answered by a tier of accuracy 0.98; objective 0.99, floor 0.95."""
    counts = {"good": good, "late": late, "shed": shed, "error": 0.0}
    return {
        **{
            f'treadle_requests_total{{{AGENT}, {TENANT}, tier="best", outcome="{outcome}"}}': growing(count)
            for outcome, count in counts.items()
        },
        f"treadle_accuracy_credit_total{{{AGENT}, {TENANT}}}": growing(good * 0.98),
    }


def told(metric: str, labels: str, values: str) -> dict[str, str]:
    """The same by both operators."""
    return {f"{metric}{{{operator}, {labels}}}": values for operator in OPERATORS}


def condition(type_: str, operator: str = OPERATORS[0]) -> str:
    """By the leader alone."""
    return f'treadle_tenant_condition{{{operator}, {TENANT}, condition="{type_}"}}'


WELL = {
    **requests(good=600.0),
    f"treadle_promised_objective_ratio{{{AGENT}, {TENANT}}}": steady(0.99),
    f"treadle_promised_accuracy_ratio{{{AGENT}, {TENANT}}}": steady(0.95),
    f"treadle_best_accuracy_ratio{{{AGENT}, {TENANT}}}": steady(0.98),
    condition("Ready"): steady(1),
    condition("Straggling"): steady(0),
    **told("treadle_node_alive", 'node="node-a"', steady(1)),
    **told("treadle_device_healthy", DEVICE, steady(1)),
    **told("treadle_device_cordoned", DEVICE, steady(0)),
    **told("treadle_operator_watch_missed_total", 'kind="inferencetenants"', steady(0)),
    f'treadle_executor_up{{{AGENT}, device="GPU-0"}}': steady(1),
    f"treadle_operator_leader{{{OPERATORS[0]}}}": steady(1),
    f"treadle_operator_leader{{{OPERATORS[1]}}}": steady(0),
    **{f"up{{{target}}}": steady(1) for target in (AGENT, *OPERATORS)},
}


@dataclass(frozen=True, slots=True)
class Case:
    """What differs from a fleet that is well, and which alerts fire of it after so many minutes."""

    name: str
    series: dict[str, str | None]
    fires: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    minute: int = MINUTES


PAGE = {"severity": "critical", "sloth_severity": "page"}
TICKET = {"severity": "warning", "sloth_severity": "ticket"}


def burning(slo: str, *severities: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    name = {"requests": "TreadleErrorBudgetBurn", "accuracy": "TreadleAccuracyBudgetBurn"}[slo]
    sloth = {"sloth_id": f"treadle-{slo}", "sloth_service": "treadle", "sloth_slo": slo}
    return [(name, {**LABELS, **sloth, **severity}) for severity in severities]


def since(minute: int, before: float, after: float) -> str:
    """A value that changes in a minute."""
    return f"{before}x{minute - 1} {after}x{MINUTES - minute}"


CASES = [
    Case("all is well", {}),
    # 3 % are late: three times the budget, over all windows that there are; of the accuracy budget (3.1 %) the pace.
    Case(
        "late, at a ticket's pace",
        {**requests(580.0, late=20.0)},
        [*burning("requests", TICKET), *burning("accuracy", TICKET)],
    ),
    Case("a few are late, below the pace", {**requests(597.0, late=3.0)}),
    Case(
        "half are shed",
        {**requests(300.0, shed=300.0)},
        [*burning("requests", PAGE, TICKET), *burning("accuracy", PAGE, TICKET)],
    ),
    # Eight times the budget, and two and a half times that of accuracy: too slow a burn for the hour's page.
    Case(
        "late, at the slower page's pace",
        {**requests(552.0, late=48.0)},
        [*burning("requests", PAGE, TICKET), *burning("accuracy", TICKET)],
    ),
    Case(
        "late, a little below the slower page's pace",
        {**requests(567.0, late=33.0)},
        [*burning("requests", TICKET), *burning("accuracy", TICKET)],
    ),
    # A quarter of the last hour's, but none of the last half hour's: of the page's windows the short ones are silent.
    Case(
        "it burnt in the last hour, and does no more",
        {
            f'treadle_requests_total{{{AGENT}, {TENANT}, tier="best", outcome="late"}}': (
                f"0x30 0+400x28 {steady(11200)}"
            ),
            f"treadle_accuracy_credit_total{{{AGENT}, {TENANT}}}": growing(588.0),
        },
        [*burning("requests", TICKET), *burning("accuracy", TICKET)],
    ),
    # All in time, by a tier below the floor: 0.90 of 0.98.
    Case(
        "cheap tiers answer",
        {f"treadle_accuracy_credit_total{{{AGENT}, {TENANT}}}": growing(600.0 * 0.90)},
        burning("accuracy", TICKET),
    ),
    Case(
        "no floor, no accuracy budget",
        {
            f"treadle_accuracy_credit_total{{{AGENT}, {TENANT}}}": growing(600.0 * 0.5),
            f"treadle_promised_accuracy_ratio{{{AGENT}, {TENANT}}}": None,
        },
    ),
    Case("nobody asks", {**requests(0.0)}),
    Case(
        "it burnt an hour ago, and does no more",
        {
            f'treadle_requests_total{{{AGENT}, {TENANT}, tier="best", outcome="late"}}': f"0+300x20 {steady(6000)}",
            f"treadle_accuracy_credit_total{{{AGENT}, {TENANT}}}": growing(588.0),
        },
        [*burning("requests", TICKET), *burning("accuracy", TICKET)],
    ),
    Case(
        "not ready",
        {condition("Ready"): steady(0)},
        [("TreadleTenantNotReady", {**LABELS, "severity": "warning"})],
    ),
    Case(
        "not ready since five minutes",
        {condition("Ready"): since(85, 1, 0)},
    ),
    # The leader goes at minute 84, and who leads at 87 tells what it finds: neither alert begins anew, nor ends.
    Case(
        "the leader changes meanwhile",
        {
            condition("Ready"): "1x70 0x12 stale",
            condition("Ready", OPERATORS[1]): "_x86 0x3",
            condition("Straggling"): "0x60 1x22 stale",
            condition("Straggling", OPERATORS[1]): "_x86 1x3",
        },
        [
            ("TreadleTenantNotReady", {**LABELS, "severity": "warning"}),
            ("TreadleTenantStraggling", {**LABELS, "severity": "warning"}),
        ],
    ),
    # Its one agent is replaced, and is not scraped for three minutes: the promise is still known.
    Case(
        "the agent is replaced while the budget burns",
        {
            **requests(300.0, shed=300.0),
            f"treadle_promised_objective_ratio{{{AGENT}, {TENANT}}}": "0.99x86 stale",
            f"treadle_promised_accuracy_ratio{{{AGENT}, {TENANT}}}": "0.95x86 stale",
            f"treadle_best_accuracy_ratio{{{AGENT}, {TENANT}}}": "0.98x86 stale",
        },
        [*burning("requests", PAGE, TICKET), *burning("accuracy", PAGE, TICKET)],
    ),
    Case(
        "straggling",
        {condition("Straggling"): steady(1)},
        [("TreadleTenantStraggling", {**LABELS, "severity": "warning"})],
    ),
    Case(
        "straggling since ten minutes",
        {condition("Straggling"): since(80, 0, 1)},
    ),
    Case(
        "node lost",
        {**told("treadle_node_alive", 'node="node-a"', since(80, 1, 0))},
        [("TreadleNodeDown", {"node": "node-a", "severity": "critical"})],
    ),
    Case("node left in order", {**told("treadle_node_alive", 'node="node-a"', f"1x{MINUTES - 20} stale")}),
    Case("node lost a minute ago", {**told("treadle_node_alive", 'node="node-a"', since(89, 1, 0))}),
    Case(
        "device faulty",
        {**told("treadle_device_healthy", DEVICE, since(80, 1, 0))},
        [("TreadleDeviceUnhealthy", {"node": "node-a", "device": "GPU-0", "severity": "critical"})],
    ),
    Case(
        "device cordoned",
        {**told("treadle_device_cordoned", DEVICE, since(20, 0, 1))},
        [("TreadleDeviceCordoned", {"node": "node-a", "device": "GPU-0", "severity": "warning"})],
    ),
    Case("device cordoned for half an hour", {**told("treadle_device_cordoned", DEVICE, since(60, 0, 1))}),
    Case(
        "executor down",
        {f'treadle_executor_up{{{AGENT}, device="GPU-0"}}': since(80, 1, 0)},
        [("TreadleExecutorDown", {"node": "node-a", "device": "GPU-0", "severity": "critical"})],
    ),
    Case("executor restarted", {f'treadle_executor_up{{{AGENT}, device="GPU-0"}}': f"1x50 0 {steady(1)}"}, minute=51),
    Case(
        "no leader",
        {f"treadle_operator_leader{{{OPERATORS[0]}}}": since(80, 1, 0)},
        [("TreadleOperatorWithoutLeader", {"severity": "critical"})],
    ),
    Case(
        "no operator at all",
        {f"treadle_operator_leader{{{operator}}}": None for operator in OPERATORS},
        [("TreadleOperatorWithoutLeader", {"severity": "critical"})],
    ),
    Case(
        "leader changes",
        {
            f"treadle_operator_leader{{{OPERATORS[0]}}}": since(80, 1, 0),
            f"treadle_operator_leader{{{OPERATORS[1]}}}": since(80, 0, 1),
        },
    ),
    Case(
        "watch dead",
        {f'treadle_operator_watch_missed_total{{{OPERATORS[0]}, kind="inferencetenants"}}': since(80, 0, 3)},
        [("TreadleWatchDead", {"kind": "inferencetenants", "severity": "warning"})],
    ),
    Case(
        "watch missed something an hour ago",
        {f'treadle_operator_watch_missed_total{{{OPERATORS[0]}, kind="inferencetenants"}}': since(30, 0, 3)},
    ),
    Case(
        "agent not scraped",
        {f"up{{{AGENT}}}": since(80, 1, 0)},
        [
            (
                "TreadleTargetDown",
                {"job": "treadle-agent", "instance": "10.0.0.7:8000", "node": "node-a", "severity": "warning"},
            )
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_fires(fires: Callable[..., None], case: Case) -> None:
    series = {name: values for name, values in {**WELL, **case.series}.items() if values is not None}
    fires(series, case.fires, case.minute)


def test_each_alert_is_seen_to_fire(annotations: dict[str, dict[str, str]]) -> None:
    assert {name for case in CASES for name, _ in case.fires} == set(annotations)


def test_the_rules_are_well_formed(binaries: Path, rules: Path) -> None:
    done = subprocess.run(
        [binaries / "promtool", "check", "rules", "--lint-fatal", rules],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
