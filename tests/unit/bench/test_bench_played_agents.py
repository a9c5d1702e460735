"""Played agents end with the task that plays them: nothing of theirs asks the API server any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from treadle.bench.placement.agents import Part, PlayedAgents, PlayedNode
from treadle_agent.cluster.errors import NotFoundError
from treadle_agent.cluster.kube import REPLICAS, KubeClient, Selection

BUSY = 8  # requests, by when all kinds of its tasks have asked
REPLICA: dict[str, Any] = {
    "apiVersion": "treadle.dev/v1alpha1",
    "kind": "InferenceReplica",
    "metadata": {"name": "digits-1", "namespace": "team", "uid": "1", "resourceVersion": "1", "generation": 1},
    "spec": {
        "tenantName": "digits",
        "tenantGeneration": 1,
        "nodeName": "a",
        "device": "0",
        "epoch": 1,
        "template": {
            "slo": {"deadline": "100ms"},
            "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": "m.onnx"}}],
        },
    },
}


class Server:
    """An API server with one replica, that takes all that it is told, until it is closed: as a client's session is."""

    def __init__(self) -> None:
        self.closed = False
        self.asked = 0
        self.busy = asyncio.Event()

    async def get(self, *_: object) -> object:
        raise NotFoundError(404, "of this test")

    async def list(self, selection: Selection) -> tuple[list[dict[str, Any]], str]:
        return ([REPLICA] if selection.kind == REPLICAS else []), "1"

    async def watch(self, *_: object) -> AsyncIterator[object]:
        await asyncio.Event().wait()
        yield None

    async def _take(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        if self.asked >= BUSY:
            self.busy.set()
        if self.closed:
            raise RuntimeError("Session is closed")
        return {"metadata": {"resourceVersion": "1"}, "status": {"userInfo": {"username": "admin"}}}

    create = replace = apply = _take


def test_nothing_goes_on_once_they_are_ended(caplog):
    faults = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        server = Server()
        node = PlayedNode("a", "10.0.0.1:8080")
        part = Part(load_seconds=0.1, lease_seconds=1)  # the Lease is renewed three times a second
        agents = PlayedAgents(cast("KubeClient", server), "treadle-system", [node], part)
        playing = asyncio.create_task(agents.run())
        async with asyncio.timeout(10.0):
            await server.busy.wait()
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        server.closed, server.asked = True, 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0.6)
        assert server.asked == 0

    asyncio.run(scenario())
    assert faults == []
