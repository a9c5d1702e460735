"""The dashboard of kernels: which take the time of a device, and how many are merged."""

from __future__ import annotations

from monitoring.grafana import Dashboard, Panel, Query, Row
from monitoring.nodes import CHOSEN, NAME, NODES, RATE

DURATION = "treadle_kernel_duration_seconds"


def _by_signature(part: str) -> str:
    return f"sum by (signature) (rate({DURATION}_{part}{{{CHOSEN}}}{RATE}))"


KERNELS = Dashboard(
    "treadle-kernels",
    "treadle / Kernels",
    "Which kernels take a device's time, and how many are merged.",
    (
        Row(
            "Time",
            (
                Panel(
                    "Device time by signature",
                    (Query(f"topk(15, {_by_signature('sum')})", "{{signature}}"),),
                    "percentunit",
                    "Share of time in which launches of this signature ran.",
                    stacked=True,
                ),
                Panel("Launches by signature", (Query(f"topk(15, {_by_signature('count')})", "{{signature}}"),), "ops"),
                Panel(
                    "Time of a launch, mean",
                    (Query(f"topk(15, {_by_signature('sum')} / ({_by_signature('count')} > 0))", "{{signature}}"),),
                    "s",
                ),
                Panel(
                    "Time of a launch, 99 %",
                    (
                        Query(
                            "topk(15, histogram_quantile(0.99, sum by (signature, le) "
                            f"(rate({DURATION}_bucket{{{CHOSEN}}}{RATE}))))",
                            "{{signature}}",
                        ),
                    ),
                    "s",
                ),
            ),
        ),
        Row(
            "Merging",
            (
                Panel(
                    "Kernels in a launch",
                    (
                        Query(
                            f"sum by (le) (increase(treadle_super_kernel_problems_bucket{{{CHOSEN}}}{RATE}))", "{{le}}"
                        ),
                    ),
                    description="How many launches had how many kernels of different requests.",
                    kind="heatmap",
                ),
                Panel(
                    "Mean",
                    (
                        Query(
                            f"sum by (node, device) (rate(treadle_super_kernel_problems_sum{{{CHOSEN}}}{RATE})) "
                            f"/ sum by (node, device) (rate(treadle_super_kernel_problems_count{{{CHOSEN}}}{RATE}))",
                            NAME,
                        ),
                    ),
                    description="1: nothing is merged.",
                ),
            ),
        ),
    ),
    NODES.variables,
)
