"""Writes the status of this node's replicas: at once when a condition flips, and figures as they move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import inf

from treadle_agent.cluster.errors import KubeError, NotFoundError
from treadle_agent.cluster.kube import REPLICAS, KubeClient
from treadle_agent.cluster.manifests import status_manifest
from treadle_agent.cluster.reporting import HELD, held, is_due
from treadle_api.backoff import Backoff
from treadle_api.replica import ReplicaStatus

WRITERS = 8  # at a time
HURRY = 0.1  # seconds between looks at what drains

_log = logging.getLogger(__name__)

StatusOf = Callable[[str, ReplicaStatus], ReplicaStatus | None]
"""From a replica (``NAMESPACE/NAME``) and what was told of it to what is true of it now; None: it is not ours."""


@dataclass(slots=True)
class _Told:
    uid: str
    status: ReplicaStatus
    at: float = -inf
    known: float = -inf


class Reporter:
    """All replicas'. `rest` in seconds: between looks at all of them, and between two reports of one's figures."""

    def __init__(self, client: KubeClient, status_of: StatusOf, backoff: Backoff[str], rest: float) -> None:
        self._client = client
        self._status_of = status_of
        self._backoff = backoff
        self._rest = rest
        self._told: dict[str, _Told] = {}
        self._marked: set[str] = set()
        self._writing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers = asyncio.Semaphore(WRITERS)
        self._wake = asyncio.Event()
        self._failing = False

    def mark(self, keys: Iterable[str]) -> None:
        """Something may have flipped with these replicas."""
        self._marked.update(keys)
        self._wake.set()

    def known(self, key: str, uid: str, status: ReplicaStatus) -> None:
        """What the API server has, for a replica of which nothing was told yet, whatever was of one before it."""
        if not self._is_of(key, uid):
            loop = asyncio.get_running_loop()
            self._told[key] = _Told(uid, status, known=loop.time())
            self._backoff.succeeded(key)
            loop.call_later(HELD + HURRY, self.mark, [key])  # timers may be a little early

    def retain(self, keys: Collection[str]) -> None:
        """All other replicas are gone."""
        self._told = {key: told for key, told in self._told.items() if key in keys}
        self._backoff.retain(keys)

    async def run(self, hurried: Callable[[], Collection[str]]) -> None:
        """Look at replicas as they are marked, at all of them every `rest`, and meanwhile often at those of `hurried`.

        Never returns.
        """
        loop = asyncio.get_running_loop()
        next_look = loop.time()
        try:
            while True:
                self._wake.clear()
                if loop.time() >= next_look:
                    self._marked.update(self._told)
                    next_look = loop.time() + self._rest
                in_hurry = hurried()
                self._marked.update(in_hurry)
                self._look(loop)
                try:
                    async with asyncio.timeout_at(min(next_look, loop.time() + HURRY) if in_hurry else next_look):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        marked, self._marked = self._marked, set()
        for key in marked:
            told = self._told.get(key)
            if told is None or key in self._writing or self._backoff.waits(key, now):
                continue
            status = self._status_of(key, told.status)
            if status is None or now - told.known < held(told.status, status):
                continue
            if is_due(told.status, status, rested=now - told.at >= self._rest):
                self._writing.add(key)
                task = loop.create_task(self._write(key, told.uid, status))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _write(self, key: str, uid: str, status: ReplicaStatus) -> None:
        namespace, _, name = key.partition("/")
        loop = asyncio.get_running_loop()
        try:
            async with self._writers:
                body = {"metadata": {"name": name, "uid": uid}, **status_manifest(status)}
                await self._client.apply(REPLICAS, namespace, name, body, "status")
        except NotFoundError:
            if self._is_of(key, uid):
                del self._told[key]  # deleted meanwhile: the watch will say so
        except KubeError as error:
            if self._is_of(key, uid):  # else it was deleted, and what was refused concerns nobody
                self._backoff.failed(key, loop.time())
            if not self._failing:
                _log.warning("the status of %s cannot be written; it is tried again: %s", key, error)
            self._failing = True
        else:
            self._backoff.succeeded(key)
            if self._is_of(key, uid):
                self._told[key] = _Told(uid, status, loop.time())
            if self._failing:
                _log.warning("statuses are written again")
            self._failing = False
        finally:
            self._writing.discard(key)
            self.mark([key])  # it may have changed meanwhile

    def _is_of(self, key: str, uid: str) -> bool:
        """Whether what was told of a name was told of the replica of this uid, and not of one before it."""
        told = self._told.get(key)
        return told is not None and told.uid == uid
