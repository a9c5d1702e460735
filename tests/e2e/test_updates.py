"""While agents are replaced, and while the node is emptied, clients are answered, or told in order that they are not."""

from __future__ import annotations

import pytest
from conftest import VALUES, rolled_out

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.eventually import eventually
from bed.helm import CHART, RELEASE, Helm
from node import tenant
from node.client import Client

pytestmark = pytest.mark.e2e


def agents(cluster: Cluster) -> set[str]:
    """The agents' Pods that are there, those on their way out among them."""
    found = cluster.get("pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=agent")["items"]
    return {pod["metadata"]["uid"] for pod in found}


def test_an_update_of_the_agent_loses_no_request(
    installed: Cluster, helm: Helm, client: Client, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tenant.make(installed, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    replica = installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"]
    before = agents(installed)
    values = {**VALUES, "agent": {**VALUES["agent"], "cacheSize": "19Gi"}}
    with client.load(host, "steady") as outcome:
        helm("upgrade", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, values=values)
        rolled_out(installed)
        eventually(lambda: not agents(installed) & before, 60.0)  # the old one has left, too
    assert outcome.wrong == []
    assert outcome.answered > 100
    assert len(agents(installed)) == 1
    assert installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"] == replica, "the tenant was moved"
    with capsys.disabled():
        print(f"\nan update of the agent: {outcome.answered} requests answered, the longest in {outcome.longest} s")  # noqa: T201
