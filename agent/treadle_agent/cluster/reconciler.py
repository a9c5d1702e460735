"""Brings one device to serve what it is assigned, and knows how far that has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Protocol

from treadle_agent.executor.precision import stored
from treadle_agent.executor.protocol import TierSpec
from treadle_agent.frontend.site import Site
from treadle_agent.node_events import Event, Leaking, Loading, Refused, Removed, Serving
from treadle_agent.program.artifact import Artifact
from treadle_api.backoff import Backoff
from treadle_api.replica import Replica, TierFigures
from treadle_api.tenant import Tenant, at_precision
from treadle_api.units import Bytes, Seconds, TierName

_log = logging.getLogger(__name__)


class Agent(Protocol):
    """Who makes a device serve: `node_agent.NodeAgent`."""

    async def apply(self, tenants: Iterable[Tenant], retry: Container[str] | None = None) -> Sequence[Refused]:
        """Serve exactly these tenants; returns when each is served or refused."""


class Reconciler:
    """One device's. `address` is this node's; `linger` the seconds that requests for who has left are passed on.

    `on_event` is told what the node agent says, once it was taken in here.
    """

    def __init__(
        self, site: Site, backoff: Backoff[str], address: str, linger: float, on_event: Callable[[Event], None]
    ) -> None:
        self._site = site
        self._backoff = backoff
        self._address = address
        self._linger = linger
        self._on_event = on_event
        self._wanted: dict[str, Tenant] | None = None  # None before anything is known
        self._applied: dict[str, Tenant] | None = None
        self._loaded: dict[str, tuple[TierFigures, ...]] = {}
        self._refused: dict[str, Refused] = {}
        self._moving: set[str] = set()
        self._trying: set[str] = set()  # what was refused, and is being tried again
        self._wake = asyncio.Event()
        self._applying: set[asyncio.Task[None]] = set()

    def want(self, replicas: Sequence[Replica]) -> None:
        """These replicas are this device's, and no others; those that drain among them."""
        now = asyncio.get_running_loop().time()
        self._move([replica for replica in replicas if replica.draining], now)
        for replica in replicas:
            if not replica.draining:
                self._site.moves.forget(replica.tenant.key)
        wanted = {tenant.key: tenant for replica in replicas if (tenant := self._wanted_of(replica)) is not None}
        if wanted == self._wanted:
            return
        before = self._wanted or {}
        for key in [key for key in (*self._refused, *before) if wanted.get(key) != before.get(key)]:
            self._backoff.succeeded(key)  # what is tried next is another thing
            self._trying.discard(key)
            self._refused.pop(key, None)
        self._wanted = wanted
        self._backoff.retain(wanted)
        self._wake.set()

    def observe(self, event: Event) -> None:
        """What the node agent says; it is the agent's observer."""
        now = asyncio.get_running_loop().time()
        match event:
            case Loading(key, step):
                _log.debug("%s on %s: %s", key, self._site.device, step)
            case Serving(tenant, served, artifacts):
                self._backoff.succeeded(tenant.key)
                self._trying.discard(tenant.key)
                self._refused.pop(tenant.key, None)
                self._loaded[tenant.key] = tuple(
                    _figures(tier, how, seconds, artifact)
                    for tier, how, seconds, artifact in zip(
                        served.version.tiers,
                        served.implementations,
                        served.service_seconds,
                        artifacts,
                        strict=True,
                    )
                )
                _log.info("%s is served on %s", tenant.key, self._site.device)
            case Refused(key):
                wait = self._backoff.failed(key, now) - now
                self._trying.discard(key)
                self._refused[key] = event
                _log.warning(
                    "%s on %s: %s: %s: %s; next try in %.0f s",
                    key, self._site.device, event.cause, event.field, event.reason, wait,
                )  # fmt: skip
                self._wake.set()
            case Removed(key):
                self._loaded.pop(key, None)
                self._refused.pop(key, None)
                self._trying.discard(key)
                _log.info("%s is not served on %s any more", key, self._site.device)
            case Leaking(key, reason):
                _log.error("an old version of %s could not be unloaded from %s: %s", key, self._site.device, reason)
        self._on_event(event)

    def tiers(self, key: str) -> tuple[TierFigures, ...]:
        """What is loaded of a tenant."""
        return self._loaded.get(key, ())

    def refused(self, key: str) -> Refused | None:
        """Why the wanted version of a tenant is not loaded."""
        return self._refused.get(key)

    @property
    def models(self) -> frozenset[str]:
        """The digests of all loaded models."""
        return frozenset(tier.sha256 for tiers in self._loaded.values() for tier in tiers)

    @property
    def used(self) -> Bytes:
        """Bytes of all loaded weights; a model that several tiers share is there once at each precision."""
        tiers = (tier for each in self._loaded.values() for tier in each)
        return Bytes(sum({at_precision(tier.sha256, tier.precision): tier.memory for tier in tiers}.values()))

    async def run(self, agent: Agent) -> None:
        """Apply what is wanted whenever it changes, and what was refused when its wait is over; never returns.

        And forget who has left when that was long ago.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._sleep(loop)
                self._wake.clear()
                self._site.moves.forget_ended(loop.time())
                retry = self._backoff.due(loop.time()) - self._trying
                if self._wanted is None or (self._wanted is self._applied and not retry):
                    continue
                self._applied = self._wanted
                self._trying |= retry
                task = loop.create_task(self._apply(agent, tuple(self._wanted.values()), retry))
                self._applying.add(task)
                task.add_done_callback(self._applying.discard)
        finally:
            for task in self._applying:
                task.cancel()

    async def _apply(self, agent: Agent, tenants: Sequence[Tenant], retry: frozenset[str]) -> None:
        await agent.apply(tenants, retry)

    async def _sleep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until something changes, or is due."""
        dues = [due for due in (self._backoff.next(loop.time()), self._site.moves.next_end) if due is not None]
        try:
            async with asyncio.timeout_at(min(dues, default=None)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _move(self, leaving: Sequence[Replica], now: float) -> None:
        for replica in leaving:
            successors = tuple(one for one in replica.successors if one != self._address)
            self._site.moves.begin(replica.tenant.key, successors, replica.tenant.slo.deadline)
        keys = {replica.tenant.key for replica in leaving}
        for key in self._moving - keys:
            self._site.moves.end(key, now + self._linger)
            self._wake.set()
        self._moving = keys

    def _wanted_of(self, replica: Replica) -> Tenant | None:
        """What is to be loaded of a replica. What drains stays as it is: nobody else may be there to take requests."""
        if not replica.draining:
            return replica.tenant
        entry = self._site.catalog.get(replica.tenant.key)
        return entry.tenant if entry is not None and entry.served is not None else None


def _figures(tier: TierSpec, how: str, seconds: float, artifact: Artifact) -> TierFigures:
    _, nbytes = stored(artifact.weights, artifact.weight_bytes, tier.precision)
    return TierFigures(
        name=TierName(tier.name),
        sha256=artifact.model_sha256,
        architecture=artifact.architecture,
        implementation=how,
        service_seconds=Seconds(seconds),
        memory=Bytes(nbytes),
        precision=tier.precision,
    )
