"""An agent writes only its own node's objects: judged by the API server, by the tokens that Pods and Nodes give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.helm import CHART, RELEASE, Helm

OWN, OTHER = "node-a", "node-b"
TENANTS = "tenants"
LEADER = "treadle-operator"


@pytest.fixture(scope="module", autouse=True)
def installed(helm: Helm, bare_cluster: Cluster, clean: None) -> Iterator[None]:
    """The chart, two nodes with an agent's Pod on the first, and a replica on each."""
    helm("install", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE)
    for node in (OWN, OTHER):
        bare_cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    bare_cluster.apply(pod("agent", OWN))
    bare_cluster.kubectl("create", "namespace", TENANTS)
    operator = bare_cluster.kubeconfig_for("treadle-operator")
    for node in (OWN, OTHER):
        bare_cluster.kubectl("create", "-f", "-", stdin=json.dumps(replica(node)), kubeconfig=operator)
        bare_cluster.apply(inference_node(node))
        bare_cluster.apply(lease(f"treadle-node-{node}"))
    bare_cluster.apply(lease(LEADER))
    yield
    bare_cluster.kubectl("delete", "node", OWN, OTHER)
    bare_cluster.kubectl("delete", "pod", "agent", "-n", SYSTEM_NAMESPACE, "--force", "--grace-period=0")
    bare_cluster.kubectl("delete", "namespace", TENANTS)


def pod(name: str, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "treadle-agent",
            "containers": [{"name": "agent", "image": "localhost/treadle-agent:0"}],
        },
    }


def inference_node(name: str) -> dict[str, Any]:
    return {"apiVersion": "treadle.dev/v1alpha1", "kind": "InferenceNode", "metadata": {"name": name}}


def lease(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": SYSTEM_NAMESPACE}
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 15}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def replica(node: str) -> dict[str, Any]:
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceReplica",
        "metadata": {"name": f"on-{node}", "namespace": TENANTS},
        "spec": {
            "nodeName": node,
            "device": "host",
            "epoch": 1,
            "tenantName": "digits",
            "tenantGeneration": 1,
            "template": {
                "slo": {"deadline": "1s", "objective": "99", "window": "1h"},
                "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": "/models/1.onnx"}}],
            },
        },
    }


@pytest.fixture(scope="module")
def by_pod(bare_cluster: Cluster) -> Path:
    """Who the agent's Pod on the first node is."""
    return bare_cluster.kubeconfig_for("treadle-agent", bound_to=("Pod", "agent"))


@pytest.fixture(scope="module")
def by_node(bare_cluster: Cluster) -> Path:
    """Who an agent outside the cluster is, with the token that docs/install.md gives it."""
    return bare_cluster.kubeconfig_for("treadle-agent", bound_to=("Node", OWN))


@pytest.fixture(scope="module")
def unbound(bare_cluster: Cluster) -> Path:
    return bare_cluster.kubeconfig_for("treadle-agent")


class Writer:
    """What agents write, of `node`; each is refused by an exception."""

    def __init__(self, cluster: Cluster, kubeconfig: Path) -> None:
        self._cluster = cluster
        self._kubeconfig = kubeconfig

    def create(self, manifest: dict[str, Any]) -> None:
        self._cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest), kubeconfig=self._kubeconfig)

    def replace(self, manifest: dict[str, Any]) -> None:
        self._cluster.kubectl("replace", "-f", "-", stdin=json.dumps(manifest), kubeconfig=self._kubeconfig)

    def delete(self, kind: str, name: str) -> None:
        self._cluster.kubectl("delete", kind, name, "-n", SYSTEM_NAMESPACE, kubeconfig=self._kubeconfig)

    def status(self, manifest: dict[str, Any]) -> None:
        """As agents do it: by server-side apply."""
        given = {key: manifest[key] for key in ("apiVersion", "kind", "metadata")}
        text = json.dumps({**given, "status": {"address": "10.9.9.9:8000"}})
        how = ("--server-side", "--subresource=status", "--field-manager=treadle-agent", "--force-conflicts")
        self._cluster.kubectl("apply", *how, "-f", "-", stdin=text, kubeconfig=self._kubeconfig)

    def everything(self, node: str) -> None:
        """All that an agent does to the API in its life."""
        self.status(inference_node(node))
        self.status(replica(node))
        self.replace(lease(f"treadle-node-{node}"))
        self.delete("lease", f"treadle-node-{node}")
        self.create(lease(f"treadle-node-{node}"))


@pytest.mark.parametrize("who", ["by_pod", "by_node"])
def test_an_agent_writes_what_is_its_nodes(bare_cluster: Cluster, who: str, request: pytest.FixtureRequest) -> None:
    writer = Writer(bare_cluster, request.getfixturevalue(who))
    writer.everything(OWN)
    bare_cluster.kubectl("delete", "inferencenode", OWN)
    writer.create(inference_node(OWN))


def refusals(writer: Writer, node: str) -> list[str]:
    """What the API server says to each of an agent's writes, of another's node."""
    said = []
    for write in (
        lambda: writer.create(inference_node(f"{node}-new")),
        lambda: writer.status(inference_node(node)),
        lambda: writer.status(replica(node)),
        lambda: writer.create(lease(f"treadle-node-{node}-new")),
        lambda: writer.replace(lease(f"treadle-node-{node}")),
        lambda: writer.delete("lease", f"treadle-node-{node}"),
        lambda: writer.replace(lease(LEADER)),
        lambda: writer.delete("lease", LEADER),
    ):
        with pytest.raises(KubectlError) as refused:
            write()
        said.append(str(refused.value))
    return said


@pytest.mark.parametrize("who", ["by_pod", "by_node"])
def test_it_writes_nothing_of_another_node(bare_cluster: Cluster, who: str, request: pytest.FixtureRequest) -> None:
    said = refusals(Writer(bare_cluster, request.getfixturevalue(who)), OTHER)
    assert all("ValidatingAdmissionPolicy 'treadle-agent'" in text for text in said), said
    assert all(f"the agent of node {OWN} may write only what belongs to its own node" in text for text in said), said
    assert f"belongs to node {OTHER}" in said[1]
    assert f"belongs to node {OTHER}" in said[2]
    assert "belongs to none" in said[-1]


def test_a_token_that_tells_no_node_writes_nothing(bare_cluster: Cluster, unbound: Path) -> None:
    said = refusals(Writer(bare_cluster, unbound), OWN)
    assert all("(its token tells none)" in text for text in said), said


def test_a_node_whose_name_begins_alike_is_another(bare_cluster: Cluster, by_pod: Path) -> None:
    with pytest.raises(KubectlError, match="its own node"):
        Writer(bare_cluster, by_pod).create(lease(f"treadle-node-{OWN}-b"))


def test_others_are_none_of_its_business(bare_cluster: Cluster) -> None:
    operator = Writer(bare_cluster, bare_cluster.kubeconfig_for("treadle-operator"))
    operator.replace(lease(LEADER))
    administrator = Writer(bare_cluster, bare_cluster.kubeconfig)
    administrator.status(inference_node(OTHER))
    administrator.replace(lease(f"treadle-node-{OTHER}"))
