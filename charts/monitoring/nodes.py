"""The dashboard of nodes and their devices: what they do, and for whom."""

from __future__ import annotations

from monitoring.grafana import Dashboard, Panel, Query, Row, Variable

RATE = "[$__rate_interval]"
NODE = 'node=~"$node"'
CHOSEN = f'{NODE}, device=~"$device"'
NAME = "{{node}} {{device}}"


def _state(title: str, metric: str, selector: str, labels: str, description: str) -> Panel:
    legend = NAME if "device" in labels else "{{node}}"
    query = Query(f"max by ({labels}) ({metric}{{{selector}}})", legend)
    return Panel(title, (query,), description=description, kind="state-timeline", width=8)


NODES = Dashboard(
    "treadle-node",
    "treadle / Node and device",
    "What nodes and their devices do, and for whom.",
    (
        Row(
            "State",
            (
                _state("Agent alive", "treadle_node_alive", NODE, "node", "1 while it renews its Lease."),
                _state(
                    "Device healthy", "treadle_device_healthy", CHOSEN, "node, device", "0: a fault, such as an XID."
                ),
                _state(
                    "Executor up", "treadle_executor_up", CHOSEN, "node, device", "0: it does not tell its figures."
                ),
            ),
        ),
        Row(
            "Work",
            (
                Panel(
                    "Busy",
                    (
                        Query(
                            f"sum by (node, device) (rate(treadle_device_busy_seconds_total{{{CHOSEN}}}{RATE}))", NAME
                        ),
                    ),
                    "percentunit",
                    "Share of time in which the device ran launches.",
                    width=8,
                ),
                Panel(
                    "For whom",
                    (
                        Query(
                            "topk(10, sum by (tenant, tenant_namespace) "
                            f"(rate(treadle_device_time_seconds_total{{{CHOSEN}}}{RATE})))",
                            "{{tenant_namespace}}/{{tenant}}",
                        ),
                    ),
                    "percentunit",
                    "Device time by tenant; over all tenants it sums to what is busy.",
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Kernels merged into one launch",
                    (
                        Query(
                            f"sum by (node, device) (rate(treadle_super_kernel_problems_sum{{{CHOSEN}}}{RATE})) "
                            f"/ sum by (node, device) (rate(treadle_super_kernel_problems_count{{{CHOSEN}}}{RATE}))",
                            NAME,
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Requests that wait",
                    (Query(f"sum by (node, device) (treadle_queue_depth{{{CHOSEN}}})", NAME),),
                    width=8,
                ),
                Panel(
                    "Memory held by tenants",
                    (
                        Query(f"max by (node, device) (treadle_device_memory_used_bytes{{{CHOSEN}}})", f"{NAME} held"),
                        Query(f"max by (node, device) (treadle_device_memory_bytes{{{CHOSEN}}})", f"{NAME} in all"),
                    ),
                    "bytes",
                    width=8,
                ),
                Panel(
                    "Executors replaced, requests run again",
                    (
                        Query(
                            f"sum by (node, device) (increase(treadle_executor_restarts_total{{{CHOSEN}}}{RATE}))",
                            f"{NAME} replaced",
                        ),
                        Query(
                            f"sum by (node, device) (increase(treadle_replayed_requests_total{{{CHOSEN}}}{RATE}))",
                            f"{NAME} run again",
                        ),
                    ),
                    width=8,
                ),
            ),
        ),
        Row(
            "Agent's process",
            (
                Panel(
                    "Processor",
                    (
                        Query(
                            f'sum by (node) (rate(process_cpu_seconds_total{{job="treadle-agent", {NODE}}}{RATE}))',
                            "{{node}}",
                        ),
                    ),
                    description="Cores of the front end; executors' are not in it.",
                ),
                Panel(
                    "Memory",
                    (
                        Query(
                            f'sum by (node) (process_resident_memory_bytes{{job="treadle-agent", {NODE}}})', "{{node}}"
                        ),
                    ),
                    "bytes",
                ),
            ),
        ),
    ),
    (
        Variable("node", "treadle_node_alive", "node", "Node"),
        Variable("device", 'treadle_device_healthy{node=~"$node"}', "device", "Device"),
    ),
)
