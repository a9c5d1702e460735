"""The bed keeps what it says: real authorisation, our kinds, real garbage collection, an audit log."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bed.audit import read_requests
from bed.cluster import Cluster, KubectlError
from bed.credentials import read_token
from controlplane.components import KUBERNETES

TENANT = {
    "apiVersion": "treadle.dev/v1alpha1",
    "kind": "InferenceTenant",
    "metadata": {"name": "digits"},
    "spec": {"slo": {"deadline": "100ms"}, "tiers": [{"name": "a", "accuracy": "90", "model": {"uri": "a.onnx"}}]},
}


def owned_configmap(owner: dict) -> dict:
    reference = {key: owner[key] for key in ("apiVersion", "kind")}
    reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [reference]},
    }


def test_it_is_the_version_that_was_asked_for(cluster: Cluster) -> None:
    assert json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == KUBERNETES


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"])
def test_every_component_runs(binaries: Path, name: str) -> None:
    said = subprocess.run([binaries / name, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    assert name.startswith("kube") is (KUBERNETES in said)


def test_a_service_account_may_do_what_a_role_gives_it_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    reader = cluster.kubeconfig_for("reader", namespace)
    with pytest.raises(KubectlError, match=f"system:serviceaccount:{namespace}:reader.*cannot list"):
        cluster.get("inferencetenants", kubeconfig=reader)
    cluster.kubectl("create", "role", "read", "--verb=list", "--resource=inferencetenants.treadle.dev", "-n", namespace)
    cluster.kubectl(
        "create", "rolebinding", "read", "--role=read", f"--serviceaccount={namespace}:reader", "-n", namespace
    )
    assert cluster.get("inferencetenants", kubeconfig=reader)["items"] == []
    with pytest.raises(KubectlError, match="cannot create"):
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(TENANT), kubeconfig=reader)


def test_a_tenant_is_kept_and_shown(cluster: Cluster, namespace: str) -> None:
    cluster.apply(TENANT, "-n", namespace)
    assert "100ms" in cluster.kubectl("get", "it", "digits", "-n", namespace)


def test_a_malformed_tenant_is_refused_with_the_field_named(cluster: Cluster, namespace: str) -> None:
    wrong = {**TENANT, "spec": {**TENANT["spec"], "slo": {"deadline": 7}}}
    with pytest.raises(KubectlError, match=r"spec\.slo\.deadline"):
        cluster.apply(wrong, "-n", namespace)


def test_what_a_tenant_owns_goes_with_it(cluster: Cluster, namespace: str, eventually) -> None:
    cluster.apply(TENANT, "-n", namespace)
    cluster.apply(owned_configmap(cluster.get("it", "digits", "-n", namespace)), "-n", namespace)
    cluster.kubectl("delete", "it", "digits", "-n", namespace)
    eventually(lambda: not cluster.exists("configmap", "owned", "-n", namespace), seconds=15)


def test_the_audit_log_tells_which_permissions_a_service_account_used(
    cluster: Cluster, namespace: str, eventually
) -> None:
    cluster.kubectl("create", "serviceaccount", "audited", "-n", namespace)
    with pytest.raises(KubectlError, match="cannot list"):
        cluster.get("inferencetenants", kubeconfig=cluster.kubeconfig_for("audited", namespace))

    def asked() -> set[tuple]:
        everything = read_requests(cluster.control_plane.audit_log)
        user = f"system:serviceaccount:{namespace}:audited"
        return {(r.verb, r.group, r.resource, r.namespace, r.code, r.permitted) for r in everything if r.user == user}

    assert eventually(asked) == {("list", "treadle.dev", "inferencetenants", namespace, 403, False)}


def test_endpoint_slices_take_this_machines_own_address(cluster: Cluster, namespace: str, address: str) -> None:
    def apply(host: str) -> str:
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "slice"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [host]}],
        }
        return cluster.apply(slice_, "-n", namespace)

    with pytest.raises(KubectlError, match="loopback"):
        apply("127.0.0.1")
    assert "slice created" in apply(address)


def test_the_api_server_can_be_killed_and_comes_back_with_its_objects(cluster: Cluster, namespace: str) -> None:
    cluster.apply(TENANT, "-n", namespace)
    cluster.control_plane.api_server.kill()
    with pytest.raises(KubectlError, match="refused"):
        cluster.get("it", "digits", "-n", namespace)
    cluster.control_plane.api_server.start()
    cluster.control_plane.wait_until_ready()
    assert cluster.exists("it", "digits", "-n", namespace)
    assert cluster.control_plane.controllers.alive


def test_a_proxy_stands_between_a_service_account_and_the_api_server(cluster: Cluster, namespace: str, proxy) -> None:
    way = proxy()
    cluster.kubectl("create", "serviceaccount", "behind", "-n", namespace)
    behind = cluster.kubeconfig_for("behind", namespace, server=way.url)
    cluster.kubectl("get", "--raw", "/version", kubeconfig=behind)
    assert way.accepted == 1
    way.cut()
    with pytest.raises(KubectlError, match="refused"):
        cluster.kubectl("get", "--raw", "/version", kubeconfig=behind)


def test_wipe_leaves_no_object_of_ours(cluster: Cluster, namespace: str) -> None:
    cluster.apply(TENANT, "-n", namespace)
    cluster.wipe()
    assert not cluster.exists("it", "--all-namespaces")


def test_tokens_outlast_the_run(cluster: Cluster, namespace: str) -> None:
    """The API server may shorten a token's life without refusing the request."""
    cluster.kubectl("create", "serviceaccount", "lasting", "-n", namespace)
    claims = read_token(cluster.kubeconfig_for("lasting", namespace)).split(".")[1]
    expires = json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"]
    assert expires - datetime.now(UTC).timestamp() > 6 * 3600
