"""Agents are replaced, and the node is emptied: what clients see of it."""

from __future__ import annotations

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.eventually import eventually
from bed.helm import CHART, RELEASE, Helm
from node import release, tenant
from node.client import Client

pytestmark = pytest.mark.e2e


def test_an_update_of_the_agent_loses_no_request(
    installed: Cluster, helm: Helm, client: Client, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host = tenant.make(installed, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    replica = installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"]
    before = release.agents(installed)
    values = {**release.VALUES, "agent": {**release.VALUES["agent"], "cacheSize": "19Gi"}}
    with client.load(host, "steady") as outcome:
        helm("upgrade", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, values=values)
        release.wait(installed)
        eventually(lambda: not release.agents(installed) & before, 60.0)  # the old one has left, too
    assert outcome.wrong == []
    assert outcome.answered > 100
    assert len(release.agents(installed)) == 1
    assert installed.get("ir", "-n", namespace)["items"][0]["metadata"]["uid"] == replica, "the tenant was moved"
    with capsys.disabled():
        print(f"\nan update of the agent: {outcome.answered} requests answered, the longest in {outcome.longest} s")  # noqa: T201
