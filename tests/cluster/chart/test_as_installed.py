"""The programs as the release has them: its arguments, accounts, roles, probes and policy; only Pods are played."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import onnx
import pytest
from scaling_model import scaling_model

from bed.addresses import free_port, own_address
from bed.audit import read_requests
from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.helm import CHART, RELEASE, Helm
from bed.program import Program
from bed.rights import Right, difference, granted, used

NODE = "node-a"
Eventually = Callable[..., Any]
Started = Callable[[Program], Program]


@dataclass(frozen=True, slots=True)
class Container:
    """What a Pod's container is told, and how it is probed."""

    module: str
    account: str
    arguments: list[str]
    environment: dict[str, str]
    probes: dict[str, str]

    @classmethod
    def of(cls, cluster: Cluster, kind: str, name: str, module: str, fields: dict[str, str]) -> Container:
        """Of an installed workload, as the kubelet would start it; `fields` are what the downward API gives."""
        spec = cluster.get(kind, name, "-n", SYSTEM_NAMESPACE)["spec"]["template"]["spec"]
        [it] = spec["containers"]
        environment = {
            variable["name"]: fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            if "valueFrom" in variable
            else variable["value"]
            for variable in it.get("env", [])
        }
        arguments = "\n".join(it["args"])
        for variable, value in environment.items():
            arguments = arguments.replace(f"$({variable})", value)
        probes = {key: it[key]["httpGet"]["path"] for key in it if key.endswith("Probe")}
        return cls(module, spec["serviceAccountName"], arguments.splitlines(), environment, probes)

    def program(self, cluster: Cluster, kubeconfig: Path, *more: str, **variables: str) -> Program:
        command = (sys.executable, "-m", self.module, *self.arguments, *more)
        return cluster.program(self.module, *command, kubeconfig=kubeconfig, **{**self.environment, **variables})


def answers(url: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@pytest.fixture
def installed(helm: Helm, fresh: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The chart on the bed, with one core Node, and a test's own folder for models."""
    volumes = {
        "volumes": [{"name": "models", "emptyDir": {}}],
        "volumeMounts": [{"name": "models", "mountPath": str(tmp_path)}],
    }
    values = {"agent": {"device": "host", "port": free_port("0.0.0.0"), **volumes}}
    helm("install", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, values=values)
    fresh.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    fresh.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    yield fresh
    fresh.kubectl("delete", "node", NODE)


def renewed(cluster: Cluster) -> str:
    """When the agent renewed its node's Lease."""
    time: str = cluster.get("lease", f"treadle-node-{NODE}", "-n", SYSTEM_NAMESPACE)["spec"]["renewTime"]
    return time


def permitted(cluster: Cluster, account: str) -> set[Right]:
    """What an account's roles let it do, wherever they are bound."""
    kinds = "roles,rolebindings,clusterroles,clusterrolebindings"
    return granted(cluster.get(kinds, "--all-namespaces")["items"], account)


def test_a_tenant_is_served_and_an_agent_uses_what_it_is_permitted(
    installed: Cluster, started: Started, eventually: Eventually, tmp_path: Path, namespace_of: str
) -> None:
    earlier = len(list(read_requests(installed.control_plane.audit_log)))
    fields = {"spec.nodeName": NODE, "status.podIP": own_address()}
    operator = Container.of(installed, "deployment", "treadle-operator", "treadle_operator", fields)
    port = free_port()
    started(operator.program(installed, installed.kubeconfig_for(operator.account), "--listen", f"127.0.0.1:{port}"))
    agent = Container.of(installed, "daemonset", "treadle-agent", "treadle_agent", fields)
    who = installed.kubeconfig_for(agent.account, bound_to=("Node", NODE))
    serving = started(agent.program(installed, who, XDG_CACHE_HOME=str(tmp_path / "cache")))
    [address] = [one.partition("=")[2] for one in agent.arguments if one.startswith("--address=")]

    for path in operator.probes.values():
        eventually(lambda path=path: answers(f"http://127.0.0.1:{port}{path}") == HTTPStatus.OK, 60.0)
    metrics = f"http://127.0.0.1:{port}/metrics"
    assert answers(metrics) == HTTPStatus.UNAUTHORIZED
    for path in agent.probes.values():
        eventually(lambda path=path: answers(f"http://{address}{path}") == HTTPStatus.OK, 60.0)

    model = tmp_path / "same.onnx"
    onnx.save(scaling_model(1.0, 4), model)
    tenant = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "digits", "namespace": namespace_of},
        "spec": {
            "slo": {"deadline": "1s"},
            "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": str(model)}}],
        },
    }
    installed.apply(tenant)
    installed.kubectl("wait", "it/digits", "-n", namespace_of, "--for=condition=Ready", "--timeout=60s", seconds=90.0)
    eventually(lambda: installed.get("modelprofiles")["items"])
    metadata = f"http://{address}/v2/models/digits"
    assert answers(metadata) == HTTPStatus.UNAUTHORIZED
    account = f"--serviceaccount={namespace_of}:default"
    installed.kubectl("create", "rolebinding", "may", "-n", namespace_of, "--clusterrole=treadle-infer", account)
    token = installed.kubectl("create", "token", "default", "-n", namespace_of, "--audience=treadle.dev").strip()
    eventually(lambda: answers(metadata, token) == HTTPStatus.OK, 20.0)
    token = installed.kubectl("create", "token", "default", "-n", namespace_of).strip()
    assert answers(metrics, token) == HTTPStatus.FORBIDDEN
    installed.kubectl("create", "clusterrolebinding", "may-read", "--clusterrole=treadle-metrics", account)
    try:
        eventually(lambda: answers(metrics, token) == HTTPStatus.OK, 20.0)
    finally:
        installed.kubectl("delete", "clusterrolebinding", "may-read")
    first = renewed(installed)
    eventually(lambda: renewed(installed) != first, 20.0)
    installed.kubectl("delete", "it", "digits", "-n", namespace_of)
    assert serving.stop(60.0) == 0

    account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{agent.account}"
    asked = [one for one in list(read_requests(installed.control_plane.audit_log))[earlier:] if one.user == account]
    assert [one for one in asked if one.code in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)] == []
    unlike = difference(permitted(installed, agent.account), used(asked))
    assert unlike == (set(), set()), "wider than used; used and not granted"


def test_leases_go_with_the_release(
    installed: Cluster, helm: Helm, started: Started, eventually: Eventually, tmp_path: Path
) -> None:
    """Though both programs still run: as Pods do, for a while, whose roles are gone already."""
    fields = {"spec.nodeName": NODE, "status.podIP": own_address()}
    operator = Container.of(installed, "deployment", "treadle-operator", "treadle_operator", fields)
    agent = Container.of(installed, "daemonset", "treadle-agent", "treadle_agent", fields)
    listen = f"127.0.0.1:{free_port()}"
    running = [
        operator.program(installed, installed.kubeconfig_for(operator.account), "--listen", listen),
        agent.program(
            installed,
            installed.kubeconfig_for(agent.account, bound_to=("Node", NODE)),
            XDG_CACHE_HOME=str(tmp_path / "cache"),
        ),
    ]
    for program in running:
        started(program)

    def leases() -> set[str]:
        return {one["metadata"]["name"] for one in installed.get("leases", "-n", SYSTEM_NAMESPACE)["items"]}

    eventually(lambda: leases() == {"treadle-operator", f"treadle-node-{NODE}"}, 60.0)
    helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE)
    eventually(lambda: leases() == set(), 60.0)
    assert all(program.alive for program in running)


@pytest.fixture
def namespace_of(bare_cluster: Cluster) -> Iterator[str]:
    bare_cluster.kubectl("create", "namespace", "team")
    yield "team"
    bare_cluster.kubectl("delete", "namespace", "team", "--wait=false")
