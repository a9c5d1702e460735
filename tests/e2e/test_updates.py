"""Agents are replaced, and the node is emptied: what clients see of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.helm import Helm
from node import node, release, tenant
from node.client import Client

pytestmark = pytest.mark.e2e


def test_an_update_of_the_agent_loses_no_request(
    installed: Cluster, helm: Helm, client: Client, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tenant.make(installed, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    replica = installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"]
    with client.load(host, "steady") as outcome:
        release.replaced(installed, lambda: release.change(helm, "agent.cacheSize=19Gi"))
    assert outcome.wrong == []
    assert outcome.answered > 100
    assert len(release.agents(installed)) == 1
    assert installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"] == replica, "the tenant was moved"
    with capsys.disabled():
        print(f"\nan update of the agent: {outcome.answered} requests answered, the longest in {outcome.longest} s")  # noqa: T201


@pytest.fixture
def drained(installed: Cluster, helm: Helm) -> Iterator[Cluster]:
    """One operator: of two, a drain of the only node leaves one. The node is open again after the test."""
    release.change(helm, "operator.replicas=1")
    release.wait(installed)
    yield installed
    installed.kubectl("uncordon", node.NAME)
    release.change(helm, "operator.replicas=2")
    release.wait(installed)


def test_two_operators_are_not_drained_both(installed: Cluster) -> None:
    """The budget holds; nothing else is asked of the node."""
    release.wait(installed)
    selector = "--pod-selector=app.kubernetes.io/component=operator"
    with pytest.raises(KubectlError, match="violate the pod's disruption budget"):
        installed.kubectl("drain", node.NAME, selector, "--timeout=4s")
    installed.kubectl("uncordon", node.NAME)
    release.wait(installed)


def test_the_node_is_drained_and_comes_back(drained: Cluster, client: Client, namespace: str) -> None:
    """What is served is served on, by an agent that no drain takes; what is new waits for the node."""
    host = tenant.make(drained, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    with client.load(host, "steady") as outcome:
        drained.kubectl("drain", node.NAME, "--ignore-daemonsets", "--timeout=60s", seconds=90.0)
        pods = drained.get("pods", "-n", SYSTEM_NAMESPACE, "--field-selector=status.phase=Running")["items"]
        assert [pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods] == ["DaemonSet"], "the operator went"
        drained.apply(tenant.tenant("late", namespace))
        drained.kubectl("uncordon", node.NAME)
        release.wait(drained)
        tenant.wait(drained, "late", namespace)
    assert outcome.wrong == []
    assert outcome.answered > 100
    assert client.ask(tenant.address(drained, "late", namespace), "late") == tenant.DOUBLED
