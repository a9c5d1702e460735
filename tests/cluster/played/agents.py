"""Played agents in a thread of their own, for tests that are not written in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from treadle.bench.placement.agents import Part, PlayedAgents, PlayedNode
from treadle_agent.cluster.connection import load_connection
from treadle_agent.cluster.kube import KubeClient

T = TypeVar("T")
_ACTION = 30.0  # seconds until an action must have been carried out


class Players:
    """The agents of some nodes, under the service account that the chart ships."""

    def __init__(self, cluster: Cluster, nodes: Iterable[PlayedNode], part: Part) -> None:
        self.part = part
        self._kubeconfig = cluster.kubeconfig_for("treadle-agent")
        self._nodes = tuple(nodes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="players", daemon=True)
        self._agents: PlayedAgents | None = None
        self._client: KubeClient | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start(self._kubeconfig))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ACTION)
        self._loop.close()

    @property
    def refused_epochs(self) -> list[tuple[str, int]]:
        """Replicas whose change the agents did not take, and its epoch."""
        return list(self._played.refused_epochs)

    @property
    def writes(self) -> int:
        """Requests that wrote something, without Leases."""
        return self._played.writes

    @property
    def lost(self) -> frozenset[str]:
        """The nodes that are silent."""
        return frozenset(self._played.lost)

    def lose(self, *names: str) -> None:
        """These nodes fall silent."""
        for name in names:
            self._call(partial(self._played.lose, name))

    def revive(self, *names: str) -> None:
        """Their agents start anew."""
        for name in names:
            self._call(partial(self._played.revive, name))

    def play(self, change: Callable[[Part], None]) -> None:
        """Change what is played."""

        def both() -> None:
            change(self.part)
            self._played.look_again()

        self._call(both)

    @property
    def _played(self) -> PlayedAgents:
        assert self._agents is not None, "the players have not started"
        return self._agents

    async def _start(self, kubeconfig: Path) -> None:
        self._client = KubeClient(await load_connection(kubeconfig))
        self._agents = PlayedAgents(self._client, SYSTEM_NAMESPACE, self._nodes, self.part)
        self._task = asyncio.create_task(self._agents.run())

    async def _stop(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            await asyncio.sleep(0.1)  # aiohttp closes TLS connections a few turns of the loop later, and tells nobody
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()  # a fault of the players is the test's

    def _call(self, action: Callable[[], object]) -> None:
        async def call() -> None:
            action()

        self._do(call())

    def _do(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_ACTION)
