"""A tenant moves while clients that follow its EndpointSlice use it: every request that they send is answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from scaling_model import scaling_model

from bed import deployment
from bed.deployment import Agent
from bed.program import Program
from played.operators import OperatorProcess
from played.world import TREADLE, World

Eventually = Callable[..., Any]

TENANT = "doubler"
CALLERS = 4
PAUSE = 0.005  # seconds between an answer and the caller's next request
WIDTH = 4
REQUEST = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [1.0, 2.0, 3.0, 4.0]}]}
).encode()
ANSWER = [2.0, 4.0, 6.0, 8.0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = 2 · x."""
    path = tmp_path_factory.mktemp("models") / "doubler.onnx"
    onnx.save(scaling_model(2.0, WIDTH), path)
    return path


@pytest.fixture
def agents(world: World, started: Callable[[Program], Program], eventually: Eventually) -> dict[str, Agent]:
    """Two agents by the names of their nodes, of which the operator has heard."""
    made = {name: deployment.agent(world.cluster, name) for name in ("node-a", "node-b")}
    for one in made.values():
        started(one.program)
    eventually(lambda: world.heard_of() >= set(made), 60.0)
    return made


class Clients:
    """Callers that send one request after another over kept connections, to endpoints that are ready as last seen.

    A caller whose endpoint is not ready any more goes to another one, and every answer that is not right is kept.
    """

    def __init__(self, world: World) -> None:
        self.answered: dict[str, int] = {}  # by HOST:PORT
        self.failures: list[str] = []
        self.gaps = 0  # times that no endpoint was ready
        self._world = world
        self._ready: tuple[str, ...] = self._look()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._follow)]
        self._threads += [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def total(self) -> int:
        return sum(self.answered.values())

    def _look(self) -> tuple[str, ...]:
        """HOST:PORT of the endpoints that are ready now."""
        return tuple(
            f"{endpoint['addresses'][0]}:{one['ports'][0]['port']}"
            for one in self._world.slices(TENANT)
            for endpoint in one["endpoints"]
            if endpoint["conditions"]["ready"]
        )

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if ready := self._look():
                self._ready = ready
            else:
                self.gaps += 1
            time.sleep(0.1)

    def _call(self, number: int) -> None:
        address, connection = "", http.client.HTTPConnection("")
        while not self._stopping.is_set():
            ready = self._ready
            if address not in ready:
                connection.close()
                address = ready[number % len(ready)]
                connection = http.client.HTTPConnection(address, timeout=30)
            try:
                connection.request("POST", f"/v2/models/{TENANT}.{self._world.namespace}/infer", REQUEST)
                response = connection.getresponse()
                status, body = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._note(address, f"{address}: {error!r}")
                connection.close()
            else:
                right = status == 200 and json.loads(body)["outputs"][0]["data"] == ANSWER
                self._note(address, "" if right else f"{address}: {status}: {body[:200]!r}")
            time.sleep(PAUSE)
        connection.close()

    def _note(self, address: str, failure: str) -> None:
        with self._lock:
            if failure:
                self.failures.append(failure)
            else:
                self.answered[address] = self.answered.get(address, 0) + 1


@pytest.fixture
def clients(
    world: World,
    agents: dict[str, Agent],
    operator: Callable[..., OperatorProcess],
    model: Path,
    eventually: Eventually,
) -> Iterator[Clients]:
    """Clients of a tenant that is served on one of the two nodes, and that has been answering them."""
    operator()
    tiers = [{"name": "only", "accuracy": "90", "model": {"uri": str(model)}}]
    world.apply_tenant(TENANT, slo={"deadline": "20s"}, tiers=tiers)  # nothing is late on a machine of two busy cores
    eventually(lambda: world.holds(TENANT, "Ready") and any(world.endpoints(TENANT).values()), 90.0)
    made = Clients(world)
    try:
        eventually(lambda: made.total() > 100)
        yield made
    finally:
        made.stop()


def schedulable(world: World, node: str, *, whether: bool) -> None:
    world.patch(f"{TREADLE}/inferencenodes/{node}", {"spec": {"unschedulable": not whether}})


def moved_to(world: World, clients: Clients, agent: Agent, eventually: Eventually) -> None:
    """Wait until a tenant is at one agent, and nowhere else, and clients have been answered there."""
    eventually(lambda: [one["spec"]["nodeName"] for one in world.replicas(TENANT)] == [agent.node], 60.0)
    seen = clients.answered.get(agent.address, 0)
    eventually(lambda: clients.answered.get(agent.address, 0) > seen + 100)


def home_and_other(world: World, agents: dict[str, Agent]) -> tuple[Agent, Agent]:
    """Where the tenant is, and where it may go."""
    [home] = world.nodes_of(TENANT)
    [other] = agents.keys() - {home}
    return agents[home], agents[other]


def test_to_another_node_and_back(
    world: World, agents: dict[str, Agent], clients: Clients, eventually: Eventually
) -> None:
    home, other = home_and_other(world, agents)
    schedulable(world, home.node, whether=False)
    moved_to(world, clients, other, eventually)
    schedulable(world, home.node, whether=True)
    schedulable(world, other.node, whether=False)
    moved_to(world, clients, home, eventually)
    clients.stop()
    assert clients.failures == []
    assert clients.gaps == 0


def test_off_a_node_whose_agent_is_asked_to_stop(
    world: World, agents: dict[str, Agent], clients: Clients, eventually: Eventually
) -> None:
    home, other = home_and_other(world, agents)
    begun = time.monotonic()
    assert home.program.stop(60.0) == 0
    took = time.monotonic() - begun
    moved_to(world, clients, other, eventually)
    clients.stop()
    assert clients.failures == []
    assert clients.gaps == 0
    assert took < 25.0, f"after {took:.1f} s: it did not see that its tenant was elsewhere"
    assert "NodeStopping" in {event["reason"] for event in world.events(TENANT)}
