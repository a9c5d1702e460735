"""What `helm install` brings serves a tenant to a Pod that asks at its Service's address."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.eventually import eventually
from node import install_page, node, tenant
from node.client import Client, let_in

pytestmark = pytest.mark.e2e

HERE = ("-n", SYSTEM_NAMESPACE)
LATE = "10.96.200.200"  # of the Services' range; no other is given it by chance alone


def remove(cluster: Cluster, name: str, namespace: str) -> None:
    """Delete the namespace's only tenant, and wait until nothing of it is left."""
    cluster.kubectl("delete", "it", name, "-n", namespace)
    eventually(lambda: not cluster.exists("service,endpointslice,ir", "-n", namespace), 60.0)


def test_docs_install_it_as_they_are_typed(cluster: Cluster, typed: dict[str, str]) -> None:
    """`helm test` among it, and what was there before its namespace asked for Pod Security's `restricted`."""
    install, ready, tested, nodes = (typed[line] for line in install_page.first_lines())
    assert "STATUS: deployed" in install
    assert 'deployment "treadle-operator" successfully rolled out' in ready
    assert 'daemon set "treadle-agent" successfully rolled out' in ready
    assert "Phase:          Succeeded" in tested
    # Its column READY is told some seconds after the agent's Pod is.
    assert re.search(rf"^{node.NAME} +(True|False) +True ", nodes, re.MULTILINE), nodes
    cluster.kubectl("wait", f"inode/{node.NAME}", "--for=condition=Ready", "--timeout=20s")
    labelled = typed[install_page.line("kubectl label namespace")]
    assert "labeled" in labelled
    assert "Warning" not in labelled


def test_a_connection_that_comes_before_its_service_is_made_once_it_is_there(
    installed: Cluster, client: Client
) -> None:
    """What the node cannot place yet it does not remember as lost (`node.Node.start`)."""
    [operators] = installed.get("endpointslices", "-l", "kubernetes.io/service-name=treadle-operator", *HERE)["items"]
    endpoints = {
        **{key: operators[key] for key in ("apiVersion", "kind", "addressType", "endpoints", "ports")},
        "metadata": {"name": "late", "namespace": SYSTEM_NAMESPACE, "labels": {"kubernetes.io/service-name": "late"}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "late", "namespace": SYSTEM_NAMESPACE},
        "spec": {"clusterIP": LATE, "ports": [{"name": operators["ports"][0]["name"], "port": 80}]},
    }
    installed.apply(endpoints)  # first: a Service that has none refuses
    with ThreadPoolExecutor() as pool:
        connected = pool.submit(client.connects, LATE)
        time.sleep(3.0)  # it has sent its first packets, into the void
        installed.apply(service)
        took = connected.result()
    installed.kubectl("delete", "service,endpointslice", "late", *HERE)
    assert 2.0 < took < 20.0


def test_who_may_not_call_is_refused(installed: Cluster, client: Client, namespace: str) -> None:
    """The chart's default: a Pod's own token, and the right for the tenant's namespace, taken away and given back."""
    host = tenant.make(installed, "guarded", namespace)
    assert client.ask(host, "guarded") == tenant.DOUBLED
    installed.kubectl("delete", "rolebinding", "client", "-n", namespace)
    other = tenant.make(installed, "other", namespace)  # nothing that the agent was told of it can be believed
    with pytest.raises(KubectlError, match="HTTP 403"):
        client.ask(other, "other")
    let_in(installed, namespace)
    assert client.ask(other, "other") == tenant.DOUBLED


def test_a_tenants_life(installed: Cluster, client: Client, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From nothing to an answer and back to nothing; no Pod is made for it."""
    # Not the first: Kubernetes' garbage collector comes to know new kinds within half a minute.
    tenant.make(installed, "earlier", namespace)
    remove(installed, "earlier", namespace)
    pods = installed.kubectl("get", "pods", "-A", "-o", "name")
    marks = [("", time.monotonic())]

    def mark(what: str) -> None:
        marks.append((what, time.monotonic()))

    installed.apply(tenant.tenant("life", namespace))
    mark("applied")
    tenant.wait(installed, "life", namespace)
    mark("Ready")
    assert client.ask(tenant.address(installed, "life", namespace), "life") == tenant.DOUBLED
    mark("answered a Pod")
    remove(installed, "life", namespace)
    mark("deleted, with all that was its")
    assert installed.kubectl("get", "pods", "-A", "-o", "name") == pods
    with capsys.disabled():
        steps = [f"{what} after {now - before:.2f} s" for (_, before), (what, now) in pairwise(marks)]
        print("\na tenant's life:", ", ".join(steps))  # noqa: T201
