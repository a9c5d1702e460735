"""Follows objects of the API server: a list, then what happens to them, through every kind of outage."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from treadle_agent.cluster.errors import ExpiredError, KubeError
from treadle_agent.cluster.kube import Event, Json, KubeClient, Selection
from treadle_api.backoff import Backoff

SHORTEST_WATCH = 1.0  # seconds: a proxy that ends watches at once must not be asked in a loop

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who is told; what it holds is right after each call."""

    def listed(self, objects: Sequence[Json]) -> None:
        """These are all there are; what was known before and is not among them is gone."""

    def changed(self, manifest: Json) -> None:
        """An object was created or changed."""

    def removed(self, manifest: Json) -> None:
        """An object is gone; this was its last state."""


class Follower:
    """Keeps a sink up to date with a selection, for as long as `run` is running.

    After an outage it goes on from the resource version that it had, so that nothing is missed; where that is too old
    (410) it lists again. A watch that went dead is given up after `kube.WATCH_SECONDS` + `kube.WATCH_GRACE`.
    """

    def __init__(self, client: KubeClient, selection: Selection, sink: Sink, backoff: Backoff[str]) -> None:
        self._client = client
        self._selection = selection
        self._sink = sink
        self._backoff = backoff
        self._version = ""
        self._lost = False

    async def run(self) -> None:
        """Never returns."""
        loop = asyncio.get_running_loop()
        name = self._selection.kind.plural
        while True:
            try:
                await self._follow()
            except ExpiredError:
                self._version = ""
            except KubeError as error:
                wait = self._backoff.failed(name, loop.time()) - loop.time()
                wait *= random.uniform(0.75, 1.0)  # not all agents at once, when the API server comes back
                if not self._lost:
                    _log.warning("%s cannot be followed, what is served goes on: %s", name, error)
                self._lost = True
                await asyncio.sleep(wait)

    async def _follow(self) -> None:
        """One list, where nothing is known yet, and one watch."""
        if not self._version:
            objects, self._version = await self._client.list(self._selection)
            self._sink.listed(objects)
            self._found()
        started = asyncio.get_running_loop().time()
        async with aclosing(self._client.watch(self._selection, self._version)) as events:
            async for event in events:
                self._take(event)
                self._found()
        self._found()  # the server has ended it in order
        await asyncio.sleep(started + SHORTEST_WATCH - asyncio.get_running_loop().time())

    def _take(self, event: Event) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._sink.changed(event.manifest)
            case "DELETED":
                self._sink.removed(event.manifest)
        metadata = event.manifest.get("metadata")
        if isinstance(metadata, dict):
            self._version = str(metadata.get("resourceVersion", self._version))

    def _found(self) -> None:
        self._backoff.succeeded(self._selection.kind.plural)
        if self._lost:
            _log.warning("%s are followed again", self._selection.kind.plural)
        self._lost = False
