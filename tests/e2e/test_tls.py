"""Agents with a certificate of a Secret: Pods call tenants by https, and a renewed one is served without a restart."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.eventually import eventually
from bed.helm import Helm
from node import client as clients
from node import release, secure_caller, tenant
from node.client import Client

pytestmark = pytest.mark.e2e

SECRET = "agent-tls"
HERE = ("-n", SYSTEM_NAMESPACE)
TAKEN_UP = 180.0  # seconds for the kubelet to bring a changed Secret to a Pod, and for the agent to look


class Authority:
    """One that certifies agents, for the tenants of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._ca = trustme.CA()

    @property
    def pem(self) -> str:
        return self._ca.cert_pem.bytes().decode()

    def certify(self) -> None:
        """Put a new certificate into the Secret, as cert-manager does."""
        made = self._ca.issue_cert(f"*.{self._namespace}.svc", "treadle-agent")
        parts = {"tls.crt": made.cert_chain_pems[0].bytes(), "tls.key": made.private_key_pem.bytes()}
        self._cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": {"name": SECRET, "namespace": SYSTEM_NAMESPACE},
                "data": {name: base64.b64encode(content).decode() for name, content in parts.items()},
            }
        )


@pytest.fixture
def authority(installed: Cluster, helm: Helm, namespace: str) -> Iterator[Authority]:
    """Agents have its certificate until the test has ended."""
    made = Authority(installed, namespace)
    made.certify()
    release.change(helm, f"agent.tls.secretName={SECRET}")
    release.wait(installed)
    yield made
    release.change(helm, "agent.tls.secretName=")
    release.wait(installed)
    installed.kubectl("delete", "secret", SECRET, *HERE)


def agents(cluster: Cluster) -> list[tuple[str, int]]:
    """The agents' Pods, and how often each was restarted."""
    pods = cluster.get("pods", *HERE, "-l", "app.kubernetes.io/component=agent")["items"]
    return [(pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in pods]


def test_a_pod_calls_by_https_and_a_renewed_certificate_is_taken_up(
    installed: Cluster, client: Client, authority: Authority, namespace: str
) -> None:
    host = tenant.make(installed, "private", namespace)
    eventually(lambda: len(agents(installed)) == 1, 60.0)  # the one before it has left
    name = f"private-treadle.{namespace}.svc"

    def ask(name: str = name) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            installed.kubectl(*clients.running(secure_caller, host, name, "private", authority.pem))
        )
        return said

    assert installed.get("it", "private", "-n", namespace)["status"]["url"] == f"https://{name}:{secure_caller.PORT}"
    first = eventually(tolerant(ask), 30.0)
    assert first["data"] == tenant.DOUBLED
    with pytest.raises(KubectlError, match="CERTIFICATE_VERIFY_FAILED"):
        ask("private-treadle.elsewhere.svc")
    with pytest.raises(KubectlError):
        client.ask(host, "private")  # by plain HTTP
    before = agents(installed)
    authority.certify()
    eventually(lambda: ask()["serial"] != first["serial"], TAKEN_UP, every=2.0)
    assert ask()["data"] == tenant.DOUBLED
    assert agents(installed) == before


def tolerant(ask: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any] | None]:
    """None where it fails: a node learns of a new Service within a second."""

    def asked() -> dict[str, Any] | None:
        try:
            return ask()
        except KubectlError:
            return None

    return asked
