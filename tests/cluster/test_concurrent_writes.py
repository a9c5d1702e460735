"""Operator and agents write the same objects at the same time, each its own part, and no write is lost."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from api_objects import Case, Manifest

from bed.cluster import Cluster
from treadle_agent.cluster import connection as agent_connection
from treadle_agent.cluster import errors as agent_errors
from treadle_agent.cluster import kube as agent_kube
from treadle_agent.cluster.following import Follower
from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.units import Seconds
from treadle_operator.kube import client as operator_kube
from treadle_operator.kube import connection as operator_connection
from treadle_operator.kube import errors as operator_errors
from treadle_operator.kube import kinds

OBJECTS = 25  # of each of two kinds
UNANSWERED = (operator_errors.UnreachableError, operator_errors.BusyError, agent_errors.UnreachableError)
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
            except operator_errors.ConflictError:
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


class Seen:
    """The states of one kind's objects, each once, in the order in which who follows them is told.

    A state is what the operator and what the agent wrote last: two numbers.
    """

    def __init__(self, written: Callable[[Manifest], tuple[int, int]]) -> None:
        self._written = written
        self.states: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self.all_begun = asyncio.Event()
        self.all_ended = asyncio.Event()

    def listed(self, objects: Sequence[agent_kube.Json]) -> None:
        """Where each begins; a second list would hide what was in between."""
        assert not self.states, "what was written before the second list is unknown"
        for manifest in objects:
            self.changed(manifest)
        self.all_begun.set()

    def changed(self, manifest: agent_kube.Json) -> None:
        """One more state."""
        body = dict(manifest)
        self.states[body["metadata"]["name"]].append(self._written(body))
        if [states[-1] for states in self.states.values()] == [(WRITES, WRITES)] * OBJECTS:
            self.all_ended.set()

    def removed(self, manifest: agent_kube.Json) -> None:
        """Nobody deletes."""
        raise AssertionError(manifest)


def of_replica(body: Manifest) -> tuple[int, int]:
    """What the operator and the agent wrote to a replica."""
    return body["spec"]["epoch"], body.get("status", {}).get("figures", {}).get("good", 0)


def of_node(body: Manifest) -> tuple[int, int]:
    """What the operator and the agent wrote to a node."""
    cordoned, devices = body["spec"]["cordonedDevices"], body.get("status", {}).get("devices", [])
    return int(cordoned[0]["reason"]) if cordoned else 0, devices[0]["usedBytes"] if devices else 0


@contextlib.asynccontextmanager
async def followed(kubeconfig: Path, namespace: str) -> AsyncIterator[dict[str, Seen]]:
    """Both kinds, followed as agents follow them: a watch that the API server cuts, as it may, goes on where it was."""
    client = agent_kube.KubeClient(await agent_connection.load_connection(kubeconfig))
    seen = {"replica": Seen(of_replica), "node": Seen(of_node)}
    selections = {
        "replica": agent_kube.Selection(agent_kube.REPLICAS, namespace, ""),
        "node": agent_kube.Selection(agent_kube.NODES, "", ""),
    }
    timing = BackoffTiming(Seconds(0.1), Seconds(1.0))
    followers = [
        asyncio.create_task(Follower(client, selections[name], seen[name], Backoff(timing)).run()) for name in seen
    ]
    try:
        yield seen
    finally:
        for follower in followers:
            follower.cancel()
        ended = await asyncio.gather(*followers, return_exceptions=True)
        await client.close()
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


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
            while True:
                try:
                    await write(number)
                except UNANSWERED:  # it may have been done or not: who must know writes it again
                    continue
                break
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


async def write_and_follow(cluster: Cluster, namespace: str, cases: dict[str, Case]) -> dict[str, Seen]:
    """What was seen of all writes."""
    async with followed(cluster.kubeconfig, namespace) as seen:
        for one in seen.values():
            await asyncio.wait_for(one.all_begun.wait(), 60)
        assert await write_all(cluster, namespace, cases) == 1000
        for one in seen.values():
            await asyncio.wait_for(one.all_ended.wait(), 60)
    return seen


def test_a_thousand_concurrent_writes_lose_none(clean_cluster, namespace, object_cases):
    """Every write is seen by who watches, in its order, and nothing of one writer falls back when the other writes."""
    clean_cluster.apply_rbac()
    for name in ("replica", "node"):
        items = [blank(object_cases[name], number, namespace) for number in range(OBJECTS)]
        clean_cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})

    for one in asyncio.run(write_and_follow(clean_cluster, namespace, object_cases)).values():
        for name, states in one.states.items():
            for writer in (0, 1):
                numbers = [state[writer] for state in states]
                assert numbers == sorted(numbers), f"a write to {name} was taken back"
                assert set(numbers) == set(range(WRITES + 1)), f"a write to {name} was lost"

    found = clean_cluster.get("inferencenode", "node-0", "--show-managed-fields")["metadata"]["managedFields"]
    owned = {(entry["manager"], entry.get("subresource", "")): set(entry["fieldsV1"]) for entry in found}
    assert owned["treadle-operator", ""] == {"f:spec"}
    assert owned["treadle-agent", "status"] == {"f:status"}
