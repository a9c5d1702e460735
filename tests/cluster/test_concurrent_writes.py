"""Operator and agents write the same objects at the same time, each its own part, and no write is lost."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from api_objects import Case, Manifest

from bed.cluster import Cluster
from bed.program import Program
from treadle_agent.cluster import connection as agent_connection
from treadle_agent.cluster import kube as agent_kube
from treadle_operator.kube import client as operator_kube
from treadle_operator.kube import connection as operator_connection
from treadle_operator.kube import kinds
from treadle_operator.kube.errors import ConflictError

OBJECTS = 25  # of each of two kinds
WRITES = 10  # to each object by each of two writers: 25 × 2 × 2 × 10 = 1,000


class NoCount:
    """Requests that nobody counts."""

    def requested(self, verb: str, code: int) -> None:
        """Nothing to do."""


class Writers:
    """The operator's and the agent's own clients, each under its service account."""

    def __init__(self, operator: operator_kube.KubeClient, agent: agent_kube.KubeClient, namespace: str) -> None:
        self.operator = operator
        self.agent = agent
        self.namespace = namespace

    async def replica_spec(self, name: str, epoch: int) -> None:
        """The operator's write to a replica holds for one version of it: where that has passed, it looks again."""
        while True:
            found = await self.operator.get(kinds.REPLICAS, self.namespace, name)
            version = found["metadata"]["resourceVersion"]
            spec = {**found["spec"], "epoch": epoch}
            try:
                await self.operator.replace_spec(kinds.REPLICAS, self.namespace, name, version, spec)
            except ConflictError:
                continue
            return

    async def replica_status(self, name: str, status: Manifest, number: int) -> None:
        """What the agent tells of a replica; `number` is one of its figures."""
        body = {"metadata": {"name": name}, "status": copy.deepcopy(status)}
        body["status"]["figures"]["good"] = number
        await self.agent.apply(agent_kube.REPLICAS, self.namespace, name, body, "status")

    async def node_spec(self, name: str, number: int) -> None:
        """The operator cordons a device."""
        body = {
            "apiVersion": kinds.NODES.api_version,
            "kind": kinds.NODES.name,
            "metadata": {"name": name},
            "spec": {"cordonedDevices": [{"id": "GPU-00000000", "reason": str(number)}]},
        }
        await self.operator.apply(kinds.NODES, "", name, body)

    async def node_status(self, name: str, status: Manifest, number: int) -> None:
        """What the agent tells of a node; `number` is one of its figures."""
        body = {"metadata": {"name": name}, "status": copy.deepcopy(status)}
        body["status"]["devices"] = [{**status["devices"][0], "usedBytes": number}]
        await self.agent.apply(agent_kube.NODES, "", name, body, "status")


def blank(case: Case, number: int, namespace: str) -> Manifest:
    """An object that neither has written to."""
    place = {"namespace": namespace} if case.name == "replica" else {}
    spec = {**case.whole["spec"], "cordonedDevices": []} if case.name == "node" else {**case.whole["spec"], "epoch": 0}
    identity = {key: case.whole[key] for key in ("apiVersion", "kind")}
    return {**identity, "metadata": {"name": f"{case.name}-{number}", **place}, "spec": spec}


@pytest.fixture
def watched(
    clean_cluster: Cluster,
    namespace: str,
    binaries: Path,
    object_cases: dict[str, Case],
    program: Callable[..., Program],
) -> dict[str, Program]:
    """A watch on each kind whose every object exists: lines of name, what the operator and what the agent wrote."""
    fields = {
        "replica": "{.spec.epoch} {.status.figures.good}",
        "node": "{.spec.cordonedDevices[*].reason} {.status.devices[*].usedBytes}",
    }
    watches = {}
    for name, shown in fields.items():
        items = [blank(object_cases[name], number, namespace) for number in range(OBJECTS)]
        clean_cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})
        form = f"jsonpath={{.metadata.name}} {shown}{{'\\n'}}"
        kind = object_cases[name].definition
        watches[name] = program(f"watch-{name}", binaries / "kubectl", "get", kind, "-n", namespace, "-w", "-o", form)
    for name, watch in watches.items():
        for number in range(OBJECTS):
            watch.wait_for(rf"^{name}-{number} ")
    return watches


async def write_all(cluster: Cluster, namespace: str, cases: dict[str, Case]) -> int:
    """All writes of both, at once; those of one writer to one object in turn. Returns how many there were."""
    operator = operator_kube.KubeClient(
        await operator_connection.load_connection(cluster.kubeconfig_for("treadle-operator")), NoCount()
    )
    agent = agent_kube.KubeClient(await agent_connection.load_connection(cluster.kubeconfig_for("treadle-agent")))
    writers = Writers(operator, agent, namespace)
    written = 0

    async def in_turn(write: Callable[[int], Awaitable[None]]) -> None:
        nonlocal written
        for number in range(1, WRITES + 1):
            await write(number)
            written += 1

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(OBJECTS):
                replica, node = f"replica-{number}", f"node-{number}"
                for write in (
                    partial(writers.replica_spec, replica),
                    partial(writers.replica_status, replica, cases["replica"].whole["status"]),
                    partial(writers.node_spec, node),
                    partial(writers.node_status, node, cases["node"].whole["status"]),
                ):
                    group.create_task(in_turn(write))
    finally:
        await operator.close()
        await agent.close()
    return written


def test_a_thousand_concurrent_writes_lose_none(clean_cluster, namespace, watched, object_cases, eventually):
    """Every write is seen by who watches, in its order, and nothing of one writer falls back when the other writes."""
    clean_cluster.apply_rbac()
    assert asyncio.run(write_all(clean_cluster, namespace, object_cases)) == 1000
    last = f" {WRITES} {WRITES}"
    for name, watch in watched.items():
        eventually(lambda: all(f"{name}-{number}{last}" in watch.output for number in range(OBJECTS)))  # noqa: B023
        lines = [line.split(" ") for line in watch.output.splitlines()]
        for number in range(OBJECTS):
            states = [tuple(int(value or 0) for value in line[1:]) for line in lines if line[0] == f"{name}-{number}"]
            for writer in (0, 1):
                seen = [state[writer] for state in states]
                assert seen == sorted(seen), f"a write to {name}-{number} was taken back"
                assert set(seen) == set(range(WRITES + 1)), f"a write to {name}-{number} was lost"

    found = clean_cluster.get("inferencenode", "node-0", "--show-managed-fields")["metadata"]["managedFields"]
    owned = {(entry["manager"], entry.get("subresource", "")): set(entry["fieldsV1"]) for entry in found}
    assert owned["treadle-operator", ""] == {"f:spec"}
    assert owned["treadle-agent", "status"] == {"f:status"}
