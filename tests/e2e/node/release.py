"""The chart's release on a cluster with a real node."""

from __future__ import annotations

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.helm import CHART, RELEASE, Helm, Values

OPERATOR: Values = {"resources": {"requests": {"cpu": "50m"}}}
AGENT: Values = {"device": "host", "leaveSeconds": 10, "resources": {"requests": {"cpu": "100m"}}}
WORKLOADS = ("deployment/treadle-operator", "daemonset/treadle-agent")


def install(helm: Helm, models: Values) -> None:
    """Install the chart; `models`: values of the agent by which it has models."""
    values = {"operator": OPERATOR, "agent": AGENT | models}
    helm("install", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, values=values)


def change(helm: Helm, value: str) -> None:
    """Upgrade the release to what differs in one value, KEY=VALUE."""
    helm("upgrade", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--reuse-values", "--set", value)


def wait(cluster: Cluster) -> None:
    """Wait until operator and agent are what they are to be."""
    for workload in WORKLOADS:
        cluster.kubectl("rollout", "status", workload, "-n", SYSTEM_NAMESPACE, "--timeout=120s", seconds=150.0)


def agents(cluster: Cluster) -> set[str]:
    """The agents' Pods that are there, those on their way out among them."""
    found = cluster.get("pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=agent")["items"]
    return {pod["metadata"]["uid"] for pod in found}
