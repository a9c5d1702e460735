"""`treadle doctor --cluster` tells of a real cluster what is there and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from played.agents import Players
from played.operators import OperatorProcess
from played.world import World
from treadle.__main__ import main

GPU_NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "z", "labels": {"nvidia.com/gpu.present": "true"}}}
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "nvidia"},
    "handler": "nvidia",
}


@pytest.fixture
def gpu_node(cluster: Cluster) -> Any:
    """A core Node with a GPU that no device plugin gives to Pods."""
    cluster.apply(GPU_NODE)
    yield
    cluster.kubectl("delete", "node/z", "runtimeclass/nvidia", "--ignore-not-found")


@pytest.mark.usefixtures("gpu_node")
def test_what_is_there_and_what_is_not(
    world: World,
    players: Callable[..., Players],
    operator: Callable[..., OperatorProcess],
    eventually: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ask(kubeconfig: Path = world.cluster.kubeconfig) -> tuple[int, dict[str, str]]:
        code = main(["doctor", "--cluster", "--json", "--kubeconfig", str(kubeconfig)])
        return code, {one["subject"]: one["verdict"] for one in json.loads(capsys.readouterr().out)["findings"]}

    well = dict.fromkeys(("definitions", "operator", "agents", "devices", "roles", "permissions"), "ok")
    code, found = ask()
    assert (code, found["agents"], found["permissions"]) == (1, "lacks", "ok")
    players(2)
    process = operator()
    eventually(lambda: ask() == (0, well | {"GPUs": "note"}), 10.0)
    world.cluster.apply(RUNTIME_CLASS)
    assert ask() == (0, well)

    world.cluster.kubectl("delete", "clusterrolebinding", "treadle-agent")
    eventually(lambda: ask() == (0, well | {"roles": "note"}), 10.0)
    world.cluster.apply_rbac()
    eventually(lambda: ask() == (0, well), 10.0)

    process.program.kill()
    eventually(lambda: ask() == (1, well | {"operator": "lacks"}), 10.0)


def test_a_user_who_may_not_ask_for_others(roles: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who may see all of the cluster, and nothing else."""
    roles.kubectl("create", "serviceaccount", "viewer", "-n", namespace)
    verbs, kinds = "--verb=get,list,watch", "--resource=nodes,leases,runtimeclasses,services,endpointslices"
    roles.kubectl("create", "clusterrole", namespace, verbs, kinds)
    ours = "--resource=inferencetenants,inferencereplicas,inferencenodes,modelprofiles"
    roles.kubectl("create", "clusterrole", f"{namespace}-ours", verbs, ours)
    for role in (namespace, f"{namespace}-ours"):
        roles.kubectl(
            "create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount={namespace}:viewer"
        )
    kubeconfig = roles.kubeconfig_for("viewer", namespace)
    main(["doctor", "--cluster", "--json", "--kubeconfig", str(kubeconfig), "--namespace", SYSTEM_NAMESPACE])
    found = {one["subject"]: one["verdict"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert "roles" not in found
    assert found["permissions"] == "note"


def test_a_user_who_may_not_ask(roles: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    roles.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    kubeconfig = roles.kubeconfig_for("nobody", namespace)
    assert main(["doctor", "--cluster", "--kubeconfig", str(kubeconfig), "--namespace", SYSTEM_NAMESPACE]) == 2
    assert "403 Forbidden" in capsys.readouterr().err
