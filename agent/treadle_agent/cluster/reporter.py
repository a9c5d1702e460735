"""Writes the status of this node's replicas: at once when a condition flips, and figures as they move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import inf

from treadle_agent.cluster.backoff import Backoff
from treadle_agent.cluster.errors import KubeError, NotFoundError
from treadle_agent.cluster.kube import REPLICAS, KubeClient
from treadle_agent.cluster.manifests import status_manifest
from treadle_agent.cluster.reporting import is_due
from treadle_api.replica import ReplicaStatus

WRITERS = 8  # at a time

_log = logging.getLogger(__name__)

Statuses = Callable[[Mapping[str, ReplicaStatus]], Mapping[str, ReplicaStatus]]
"""From what was told of each replica (``NAMESPACE/NAME``) to what is true of it now."""


@dataclass(slots=True)
class _Told:
    status: ReplicaStatus
    at: float = -inf


class Reporter:
    """All replicas'. `rest` in seconds: figures are told no more often."""

    def __init__(self, client: KubeClient, statuses: Statuses, backoff: Backoff, rest: float) -> None:
        self._client = client
        self._statuses = statuses
        self._backoff = backoff
        self._rest = rest
        self._told: dict[str, _Told] = {}
        self._writing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers = asyncio.Semaphore(WRITERS)
        self._wake = asyncio.Event()
        self._failing = False

    def wake(self) -> None:
        """Something may have flipped."""
        self._wake.set()

    def known(self, key: str, status: ReplicaStatus) -> None:
        """What the API server has, for a replica of which nothing was told yet."""
        if key not in self._told:
            self._told[key] = _Told(status)
        self.wake()

    def retain(self, keys: Collection[str]) -> None:
        """All other replicas are gone."""
        self._told = {key: told for key, told in self._told.items() if key in keys}
        self._backoff.retain(keys)

    async def run(self, look: Callable[[], float]) -> None:
        """Look whenever woken, and after `look()` seconds; never returns."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                self._look(loop)
                try:
                    async with asyncio.timeout(look()):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for key, status in self._statuses({key: told.status for key, told in self._told.items()}).items():
            told = self._told.setdefault(key, _Told(ReplicaStatus()))
            if key in self._writing or self._backoff.waits(key, now):
                continue
            if is_due(told.status, status, rested=now - told.at >= self._rest):
                self._writing.add(key)
                task = loop.create_task(self._write(key, status))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _write(self, key: str, status: ReplicaStatus) -> None:
        namespace, _, name = key.partition("/")
        loop = asyncio.get_running_loop()
        try:
            async with self._writers:
                await self._client.apply(REPLICAS, namespace, name, status_manifest(status), "status")
        except NotFoundError:
            self._told.pop(key, None)  # deleted meanwhile: the watch will say so
        except KubeError as error:
            self._backoff.failed(key, loop.time())
            if not self._failing:
                _log.warning("the status of %s cannot be written; it is tried again: %s", key, error)
            self._failing = True
        else:
            self._backoff.succeeded(key)
            if key in self._told:
                self._told[key] = _Told(status, loop.time())
            if self._failing:
                _log.warning("statuses are written again")
            self._failing = False
        finally:
            self._writing.discard(key)
            self.wake()
