"""The dashboard of all tenants and nodes together, and of the operator."""

from __future__ import annotations

from monitoring.grafana import Dashboard, Panel, Query, Row
from monitoring.slo import TENANT

RATE = "[$__rate_interval]"
CONDITION = f"max by ({TENANT}, condition) (treadle_tenant_condition"


def _count(title: str, expression: str, description: str) -> Panel:
    return Panel(title, (Query(expression),), description=description, kind="stat", width=4)


FLEET = Dashboard(
    "treadle-fleet",
    "treadle / Fleet",
    "All tenants, nodes and the operator.",
    (
        Row(
            "Now",
            (
                _count(
                    "Tenants ready",
                    f'sum({CONDITION}{{condition="Ready"}}))',
                    "Answered by as many devices as they ask for.",
                ),
                _count(
                    "Tenants not ready",
                    f'count({CONDITION}{{condition="Ready"}})) - sum({CONDITION}{{condition="Ready"}}))',
                    "No place, or models that are loaded or cannot be: kubectl get it -A.",
                ),
                _count("Nodes alive", "sum(max by (node) (treadle_node_alive))", "Whose agents renew their Leases."),
                _count(
                    "Nodes gone",
                    "count(max by (node) (treadle_node_alive)) - sum(max by (node) (treadle_node_alive))",
                    "An InferenceNode is there, its agent is not.",
                ),
                _count(
                    "Devices unhealthy or cordoned",
                    "sum(max by (node, device) (1 - treadle_device_healthy) "
                    "or max by (node, device) (treadle_device_cordoned))",
                    "They take no tenants.",
                ),
                _count("Operators that lead", "sum(treadle_operator_leader)", "One."),
            ),
            height=4,
        ),
        Row(
            "Promises",
            (
                Panel(
                    "Fastest burning error budgets",
                    (
                        Query(
                            'topk(10, slo:current_burn_rate:ratio{sloth_slo="requests"})',
                            "{{tenant_namespace}}/{{tenant}}",
                        ),
                    ),
                    description="1: the budget lasts exactly its period. Above 14.4 for an hour somebody is paged.",
                ),
                Panel(
                    "Fastest burning accuracy budgets",
                    (
                        Query(
                            'topk(10, slo:current_burn_rate:ratio{sloth_slo="accuracy"})',
                            "{{tenant_namespace}}/{{tenant}}",
                        ),
                    ),
                    description="What lies between the best tier and the floor is the budget.",
                ),
                Panel(
                    "Requests",
                    (Query(f"sum by (outcome) (rate(treadle_requests_total{RATE}))", "{{outcome}}"),),
                    "reqps",
                    "Good: answered by the deadline. Shed: refused for load.",
                    stacked=True,
                ),
                Panel(
                    "Tier switches",
                    (
                        Query(
                            f"sum by (direction, reason) (rate(treadle_tier_switches_total{RATE}))",
                            "{{direction}}: {{reason}}",
                        ),
                    ),
                    "ops",
                ),
            ),
        ),
        Row(
            "Devices",
            (
                Panel(
                    "Busy",
                    (
                        Query(
                            f"sum by (node, device) (rate(treadle_device_busy_seconds_total{RATE}))",
                            "{{node}} {{device}}",
                        ),
                    ),
                    "percentunit",
                    "Share of time in which a device ran launches.",
                    width=8,
                ),
                Panel(
                    "Merge factor",
                    (
                        Query(
                            f"sum(rate(treadle_super_kernel_problems_sum{RATE})) "
                            f"/ sum(rate(treadle_super_kernel_problems_count{RATE}))",
                            "kernels a launch",
                        ),
                    ),
                    description="Kernels merged into one launch, in the mean. 1: nothing is merged.",
                    width=8,
                ),
                Panel(
                    "Memory held by tenants",
                    (
                        Query(
                            "max by (node, device) (treadle_device_memory_used_bytes) "
                            "/ max by (node, device) (treadle_device_memory_bytes)",
                            "{{node}} {{device}}",
                        ),
                    ),
                    "percentunit",
                    width=8,
                ),
            ),
        ),
        Row(
            "Operator",
            (
                Panel(
                    "Placements and moves",
                    (
                        Query(f"sum by (reason) (increase(treadle_operator_moves_total{RATE}))", "moved: {{reason}}"),
                        Query(
                            f"sum by (reason) (increase(treadle_operator_placements_total{RATE}))", "placed: {{reason}}"
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Time of a plan",
                    (
                        Query(
                            f"histogram_quantile(0.99, sum by (le) (rate(treadle_operator_plan_seconds_bucket{RATE})))",
                            "99 %",
                        ),
                    ),
                    "s",
                    width=8,
                ),
                Panel(
                    "Changes to be written",
                    (
                        Query("max(treadle_operator_queue_depth)", "waiting"),
                        Query("max(treadle_operator_backing_off)", "failed, tried again"),
                    ),
                    width=8,
                ),
                Panel(
                    "Requests to the API server",
                    (
                        Query(
                            f"sum by (verb, code) (rate(treadle_operator_api_requests_total{RATE}))",
                            "{{verb}} {{code}}",
                        ),
                    ),
                    "reqps",
                    "Code 0: no answer.",
                ),
                Panel(
                    "Changes that watches missed",
                    (Query(f"sum by (kind) (increase(treadle_operator_watch_missed_total{RATE}))", "{{kind}}"),),
                ),
            ),
        ),
    ),
)
