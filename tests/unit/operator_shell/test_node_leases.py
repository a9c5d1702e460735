"""How often the nodes' Leases are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from treadle_api.units import Seconds
from treadle_operator.heartbeats import Heartbeats
from treadle_operator.kube.client import KubeClient, Page
from treadle_operator.kube.errors import UnreachableError
from treadle_operator.kube.lease import NodeLeases

LEASE = {
    "metadata": {"name": "treadle-node-a", "namespace": "treadle-system", "resourceVersion": "1"},
    "spec": {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "renewTime": "2026-11-22T20:00:00.000000Z",
    },
}


class Server:
    """An API server with one node's Lease."""

    def __init__(self) -> None:
        self.lists = 0
        self.gone = False

    async def pages(self, *_: object) -> AsyncIterator[Page]:
        self.lists += 1
        if self.gone:
            raise UnreachableError("no route")
        yield Page([LEASE], 1)


def test_an_api_server_that_does_not_answer_is_asked_no_more_often_than_one_that_does(clock: Any) -> None:
    server = Server()
    leases = NodeLeases(
        cast("KubeClient", server), "treadle-system", Heartbeats(Seconds(6.0)), clock, Seconds(5.0), lambda: None
    )

    async def scenario() -> None:
        await leases.look()
        assert leases.alive == {"a"}
        server.gone = True
        clock.now += 60.0  # the node's Lease has expired, as far as anybody can tell
        looking = asyncio.create_task(leases.run())
        await asyncio.sleep(0.5)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(scenario())
    assert server.lists == 2
