"""When an InferenceNode is written: facts at once, figures when they have moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from treadle_agent.cluster.errors import NotFoundError
from treadle_agent.cluster.registration import LOOKS, Registration, is_due
from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import Device, Node
from treadle_api.tenant import Precision
from treadle_api.units import Bytes

DEVICE = Device("host", "a CPU", Bytes(1 << 34), Bytes(1000), 0.4, 1.0, healthy=True, reason="", merge_factor=2.0)
READY = Condition("Ready", ConditionStatus.TRUE, "Serving", "", 0, "2026-11-22T20:00:00Z")
NODE = Node(
    name="alpha", unschedulable=False, cordoned=(), address="h:1", devices=(DEVICE,), conditions=(READY,), generation=1
)


@pytest.mark.parametrize(
    ("change", "due"),
    [
        ({}, False),
        ({"used": Bytes(1099)}, False),
        ({"used": Bytes(1101)}, True),
        ({"used": Bytes(0)}, True),
        ({"utilisation": 0.49}, False),
        ({"utilisation": 0.51}, True),
        ({"stretch": 1.09}, False),
        ({"stretch": 1.2}, True),
        ({"merge_factor": 2.19}, False),
        ({"merge_factor": 2.21}, True),
        ({"merge_factor": None}, True),
        ({"precisions": (Precision.FLOAT32, Precision.FLOAT16)}, True),
        ({"healthy": False, "reason": "it does not answer"}, True),
    ],
)
def test_devices(change, due):
    assert is_due(NODE, replace(NODE, devices=(replace(DEVICE, **change),))) is due


def test_conditions_and_the_address():
    assert is_due(NODE, replace(NODE, address="h:2"))
    assert is_due(NODE, replace(NODE, conditions=(replace(READY, status=ConditionStatus.FALSE),)))
    assert is_due(NODE, replace(NODE, devices=()))
    assert not is_due(NODE, replace(NODE, generation=2, unschedulable=True)), "that is the spec's"


class Server:
    """The API server's one InferenceNode, and what it was asked."""

    def __init__(self) -> None:
        self.node: dict[str, object] | None = None
        self.asked: list[str] = []
        self.applied = asyncio.Event()

    async def get(self, *_: object) -> dict[str, object]:
        self.asked.append("get")
        if self.node is None:
            raise NotFoundError(404, "no such node")
        return self.node

    async def create(self, _: object, __: str, body: dict[str, object]) -> dict[str, object]:
        self.asked.append("create")
        self.node = {**body, "metadata": {"name": "alpha", "generation": 1}}
        return self.node

    async def apply(self, _: object, __: str, ___: str, body: dict[str, object], ____: str) -> dict[str, object]:
        self.asked.append("apply")
        if self.node is None:
            raise NotFoundError(404, "no such node")
        self.node = {**self.node, **body}
        self.applied.set()
        return self.node


def test_it_is_made_once_and_looked_after():
    server = Server()
    it = Registration(
        server,
        "alpha",
        lambda told: replace(NODE, agent_version="0.1.0", generation=told.generation if told else 0),
        5.0,
    )

    def look(times: int) -> list[str]:
        server.asked.clear()
        for _ in range(times):
            asyncio.run(it.look())
        return server.asked

    assert look(1) == ["get", "create", "apply"]
    assert server.node["status"]["observedGeneration"] == 1, "else who waits for a condition does not believe it"
    assert look(LOOKS - 2) == []
    assert look(1) == ["get"], "now and then it is read again, and nothing is written"

    server.node = None  # somebody deletes it
    assert look(LOOKS) == ["get", "create", "apply"]

    server.node["status"]["address"] = "another:1"  # somebody writes its status
    assert look(LOOKS) == ["get", "apply"]
    assert server.node["status"]["address"] == NODE.address


def test_what_others_are_to_know_at_once_is_told_before_the_next_look():
    async def body() -> None:
        server, stopping = Server(), False

        def describe(told: Node | None) -> Node:
            ready = replace(READY, status=ConditionStatus.FALSE, reason="Stopping") if stopping else READY
            return replace(NODE, conditions=(ready,), agent_version="0.1.0", generation=told.generation if told else 0)

        it = Registration(server, "alpha", describe, 3600.0)
        running = asyncio.create_task(it.run())
        async with asyncio.timeout(10.0):
            await server.applied.wait()
            server.applied.clear()
            stopping = True
            it.look_soon()
            await server.applied.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(body())
