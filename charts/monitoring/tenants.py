"""The dashboard of one tenant, or of a few: is the promise kept, and if not, why."""

from __future__ import annotations

from monitoring.grafana import Dashboard, Panel, Query, Row, Variable
from monitoring.slo import TENANT

RATE = "[$__rate_interval]"
CHOSEN = 'tenant_namespace=~"$tenant_namespace", tenant=~"$tenant"'
NAME = "{{tenant_namespace}}/{{tenant}}"


def _slo(name: str, slo: str) -> str:
    return f'{name}{{sloth_slo="{slo}", {CHOSEN}}}'


def _now(title: str, expression: str, description: str, unit: str = "percentunit") -> Panel:
    return Panel(title, (Query(expression, NAME),), unit, description, "stat", 4)


def _quantile(share: float) -> Query:
    buckets = f"sum by ({TENANT}, le) (rate(treadle_request_duration_seconds_bucket{{{CHOSEN}}}{RATE}))"
    return Query(f"histogram_quantile({share}, {buckets})", f"{NAME} {share * 100:g} %")


def _burns(slo: str) -> tuple[Query, ...]:
    budget = _slo("slo:error_budget:ratio", slo)
    return tuple(
        Query(
            f"{_slo(f'slo:sli_error:ratio_rate{window}', slo)} / ignoring (sloth_window) {budget}", f"{NAME} {window}"
        )
        for window in ("5m", "1h", "6h")
    )


TENANTS = Dashboard(
    "treadle-tenant",
    "treadle / Tenant",
    "Whether a tenant's promise is kept, and what it gets.",
    (
        Row(
            "Promise",
            (
                _now("Objective", _slo("slo:objective:ratio", "requests"), "Share to be answered by the deadline."),
                _now(
                    "In time, last hour",
                    f"1 - {_slo('slo:sli_error:ratio_rate1h', 'requests')}",
                    "Share that was answered by the deadline.",
                ),
                _now(
                    "Error budget left",
                    _slo("slo:period_error_budget_remaining:ratio", "requests"),
                    "Of 30 days; below 0 the objective is missed.",
                ),
                _now(
                    "Accuracy floor",
                    f"max by ({TENANT}) (treadle_promised_accuracy_ratio{{{CHOSEN}}})",
                    "Effective accuracy that is to be kept; empty: none is.",
                ),
                _now(
                    "Effective accuracy, last hour",
                    f"sum by ({TENANT}) (rate(treadle_accuracy_credit_total{{{CHOSEN}}}[1h])) "
                    f"/ sum by ({TENANT}) (rate(treadle_requests_total{{{CHOSEN}}}[1h]))",
                    "Accuracy of the tiers that answered; a late, refused or failed request counts 0.",
                ),
                _now(
                    "Accuracy budget left",
                    _slo("slo:period_error_budget_remaining:ratio", "accuracy"),
                    "Of 30 days; below 0 the floor was not kept.",
                ),
            ),
            height=4,
        ),
        Row(
            "Burn rates",
            (
                Panel(
                    "Error budget",
                    _burns("requests"),
                    description="1: it lasts exactly 30 days. Paged: 14.4 over 1h and 5m, or 6 over 6h and 30m.",
                ),
                Panel("Accuracy budget", _burns("accuracy"), description="As the error budget's."),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "By how they ended",
                    (
                        Query(
                            f"sum by (outcome) (rate(treadle_requests_total{{{CHOSEN}}}{RATE}))",
                            "{{outcome}}",
                        ),
                    ),
                    "reqps",
                    "Late: answered after the deadline. Shed: refused for load.",
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "By tier",
                    (
                        Query(
                            f'sum by ({TENANT}, tier) (rate(treadle_requests_total{{tier!="", {CHOSEN}}}{RATE}))',
                            f"{NAME} {{{{tier}}}}",
                        ),
                    ),
                    "reqps",
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Time to answer",
                    (_quantile(0.5), _quantile(0.99)),
                    "s",
                    "Of answered requests, from their heads' arrival.",
                    width=8,
                ),
            ),
        ),
        Row(
            "Why",
            (
                Panel(
                    "Tier switches",
                    (
                        Query(
                            f"sum by ({TENANT}, direction, reason) "
                            f"(rate(treadle_tier_switches_total{{{CHOSEN}}}{RATE}))",
                            f"{NAME} {{{{direction}}}}: {{{{reason}}}}",
                        ),
                    ),
                    "ops",
                    width=8,
                ),
                Panel(
                    "Requests that wait",
                    (
                        Query(
                            f"sum by ({TENANT}, node, device) (treadle_queue_depth{{{CHOSEN}}})",
                            f"{NAME} {{{{node}}}} {{{{device}}}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Share of device time",
                    (
                        Query(
                            f"sum by ({TENANT}, node, device) "
                            f"(rate(treadle_device_time_seconds_total{{{CHOSEN}}}{RATE}))",
                            f"{NAME} {{{{node}}}} {{{{device}}}}",
                        ),
                    ),
                    "percentunit",
                    width=8,
                ),
                Panel(
                    "Observed over profiled time",
                    (
                        Query(
                            f"max by ({TENANT}, node, device) (treadle_profile_correction_ratio{{{CHOSEN}}})",
                            f"{NAME} {{{{node}}}} {{{{device}}}}",
                        ),
                    ),
                    description="1: as profiled. Above 1.15 for long it straggles.",
                    width=8,
                ),
                Panel(
                    "Not taken as they were",
                    (
                        Query(
                            f"sum by ({TENANT}, code) (rate(treadle_refused_requests_total{{{CHOSEN}}}{RATE}))",
                            f"{NAME} {{{{code}}}}",
                        ),
                    ),
                    "reqps",
                    "The client's faults, by HTTP status: no outcome is counted.",
                    width=8,
                ),
                Panel(
                    "Conditions",
                    (
                        Query(
                            f"max by ({TENANT}, condition) (treadle_tenant_condition{{{CHOSEN}}})",
                            f"{NAME} {{{{condition}}}}",
                        ),
                    ),
                    description="1: True. Straggling is the one that should be 0.",
                    kind="state-timeline",
                    width=8,
                ),
            ),
        ),
    ),
    (
        Variable("tenant_namespace", "treadle_tenant_condition", "tenant_namespace", "Namespace"),
        Variable(
            "tenant",
            'treadle_tenant_condition{tenant_namespace=~"$tenant_namespace"}',
            "tenant",
            "Tenant",
        ),
    ),
)
