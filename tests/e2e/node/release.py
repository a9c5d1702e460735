"""The chart's release on a cluster with a real node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.eventually import eventually
from bed.helm import CHART, RELEASE, Helm, Values

WORKLOADS = ("deployment/treadle-operator", "daemonset/treadle-agent")
GONE = 60.0  # seconds for an agent to leave once another is ready


def install(helm: Helm, values: Values, chart: Path = CHART) -> None:
    """Install the chart, this tree's or another."""
    helm("install", RELEASE, chart, "--namespace", SYSTEM_NAMESPACE, values=values)


def values(helm: Helm) -> Values:
    """What the release was given."""
    found: Values = json.loads(helm("get", "values", RELEASE, "--namespace", SYSTEM_NAMESPACE, "-o", "json"))
    return found


def upgrade(helm: Helm, values: Values) -> None:
    """To this tree's chart."""
    helm("upgrade", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, values=values)


def change(helm: Helm, value: str) -> None:
    """Upgrade the release to what differs in one value, KEY=VALUE."""
    helm("upgrade", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--reuse-values", "--set", value)


def wait(cluster: Cluster) -> None:
    """Wait until operator and agent are what they are to be."""
    for workload in WORKLOADS:
        cluster.kubectl("rollout", "status", workload, "-n", SYSTEM_NAMESPACE, "--timeout=120s", seconds=150.0)


def replaced(cluster: Cluster, change: Callable[[], object]) -> None:
    """Change the release, and wait until all agents that were there have left."""
    old = agents(cluster)
    change()
    wait(cluster)
    eventually(lambda: not agents(cluster) & old, GONE)


def agents(cluster: Cluster) -> set[str]:
    """The agents' Pods that are there, those on their way out among them."""
    found = cluster.get("pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=agent")["items"]
    return {pod["metadata"]["uid"] for pod in found}
