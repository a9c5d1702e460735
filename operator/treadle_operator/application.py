"""The operator put together: what runs, in which order it begins and ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from kubernetes.aio.client import Configuration

from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.leases import LEADER_LEASE
from treadle_api.objects import API_VERSION
from treadle_api.units import Seconds
from treadle_callers.cached_reviewer import CachedReviewer
from treadle_operator.clock import Clock, ServerClock
from treadle_operator.cluster_series import ClusterSeries
from treadle_operator.election import Election
from treadle_operator.guard import MetricsGuard
from treadle_operator.handlers import Watches
from treadle_operator.heartbeats import Heartbeats
from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import ApiError, NotFoundError
from treadle_operator.kube.events import EventRecorder
from treadle_operator.kube.lease import Leadership, NodeLeases
from treadle_operator.kube.reviews import reviews_by
from treadle_operator.listing import Listing
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror
from treadle_operator.outbox import Outbox
from treadle_operator.planner import Planner
from treadle_operator.probes import Probes
from treadle_operator.settings import Settings
from treadle_operator.writer import Writer

_START_BACKOFF = BackoffTiming(Seconds(1.0), Seconds(15.0))
_BLIND_FACTOR = 3.0  # looks at the nodes' Leases that are missing, until the time in between does not count
_STOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


class TaskEndedError(Exception):
    """Raised when one of the operator's tasks ends, which none should: another process may have more luck."""


class Operator:
    """One operator process.

    Args:
        configuration: the API server, and who we are to it.
        settings: how to run.
    """

    def __init__(self, configuration: Configuration, settings: Settings) -> None:
        self._configuration = configuration
        self._settings = settings
        self._clock = clock = Clock()
        self._metrics = metrics = OperatorMetrics()
        self._wanted = wanted = asyncio.Event()
        self._client = client = KubeClient(configuration, metrics, settings.election.write_timeout)
        self._mirror = mirror = Mirror(wanted.set, tls=settings.tls)
        self._listing = Listing(client, mirror, kinds.WATCHED, settings.audit, settings.audit_grace, metrics)
        self._leadership = Leadership(
            client,
            settings.namespace,
            LEADER_LEASE,
            Election(settings.identity, settings.election),
            settings.election,
            clock,
            mirror.highest_epoch,
            wanted.set,
        )
        self._node_leases = NodeLeases(
            client,
            settings.namespace,
            Heartbeats(Seconds(settings.node_lease_look * _BLIND_FACTOR)),
            clock,
            settings.node_lease_look,
            wanted.set,
        )
        writer = Writer(client, mirror, EventRecorder(client, clock, settings.identity), metrics)
        self._outbox = Outbox(
            writer.write,
            self._leadership.holds,
            wanted.set,
            clock,
            settings.write_backoff,
            settings.writers,
            metrics,
        )
        self._planner = Planner(
            mirror,
            self._node_leases,
            self._leadership,
            self._outbox,
            self._catch_up,
            ServerClock(lambda: client.ahead),
            settings.planner,
            metrics,
            wanted,
        )
        self._watches = Watches(configuration, mirror, kinds.WATCHED, self._listing)
        self._unready = ["the API server has not been read yet"]
        self._stop = asyncio.Event()

        def leads() -> bool:
            return self._leadership.epoch is not None

        metrics.leader.set_function(lambda: float(leads()))
        for kind in kinds.WATCHED:
            metrics.objects.labels(kind.plural).set_function(partial(mirror.size, kind))
            metrics.missed.labels(kind.plural)  # from zero: the first one counts, too
        metrics.registry.register(ClusterSeries(lambda: mirror.snapshot(0, self._node_leases.alive), leads))

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM.

        Raises:
            OSError: the port for the probes cannot be had.
            TaskEndedError: a part of it failed for good.
        """
        self._take_signals()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            probes = Probes(self._faults, lambda: self._unready, self._metrics.exposition, self._guard())
            stack.push_async_callback(probes.stop)
            _log.info("probes and metrics at port %d", await probes.start(*self._settings.listen))
            if await self._until_stopped(self._read_everything()):
                return
            self._unready.clear()
            _log.info("ready: %s", ", ".join(f"{self._mirror.size(kind)} {kind.plural}" for kind in kinds.OWN))
            await self._operate()

    async def _operate(self) -> None:
        """Run all parts; end in the order in which they need each other."""
        parts = {
            asyncio.create_task(part, name=name)
            for name, part in (
                ("watches", self._watches.run(self._take_signals)),
                ("node leases", self._node_leases.run()),
                ("election", self._leadership.run()),
                ("outbox", self._outbox.run()),
                ("planner", self._planner.run()),
                ("audits", self._listing.run()),
            )
        }
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            ended, _ = await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopping}:
                error = None if task.cancelled() else task.exception()
                raise TaskEndedError(f"{task.get_name()}: {error or 'ended'}") from error
        finally:
            self._unready.append("stopping")
            own = {task for task in parts if task.get_name() != "watches"}
            for task in own:
                task.cancel()
            stopping.cancel()
            await asyncio.wait(own, timeout=_STOP_SECONDS)  # nothing is written once another may lead
            await self._leadership.release()
            self._watches.stop()
            await asyncio.wait(parts, timeout=_STOP_SECONDS)

    async def _read_everything(self) -> None:
        """List all kinds, as soon as there is an API server that has them; says what it waits for."""
        failing: Backoff[None] = Backoff(_START_BACKOFF)
        said = ""
        while True:
            now = self._clock.steady()
            try:
                await self._check_kinds()
                await self._listing.list_all()
                await self._node_leases.look()
            except ApiError as error:
                wait = failing.failed(None, now) - now
                self._unready[:] = [str(error)]
                if str(error) != said:
                    _log.warning("waiting: %s; trying again at least every %g s", error, _START_BACKOFF.longest)
                said = str(error)
                await asyncio.sleep(wait)
            else:
                return

    async def _check_kinds(self) -> None:
        wanted = {kind.plural for kind in kinds.OWN}
        try:
            absent = wanted - await self._client.served(API_VERSION)
        except NotFoundError:
            absent = wanted
        if absent:
            names = ", ".join(sorted(f"{plural}.treadle.dev" for plural in absent))
            raise NotFoundError(404, "NotFound", f"the API server has no {names}: apply the files in crds/")

    async def _catch_up(self) -> None:
        """What the last leader wrote before it went must be known before the first plan."""
        await self._listing.list_all()
        await self._node_leases.look()

    def _guard(self) -> MetricsGuard | None:
        settings = self._settings.guard
        if settings is None:
            return None
        return MetricsGuard(CachedReviewer(reviews_by(self._client), settings, self._clock.steady))

    def _faults(self) -> list[str]:
        faults = [f"the watch of {plural} is dead" for plural in self._listing.dead]
        if not self._unready and self._planner.silent():
            faults.append("the planner is stuck")
        return faults

    def _take_signals(self) -> None:
        """SIGINT and SIGTERM stop us; kopf takes them for itself when it begins."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether a signal came before `work` was done, which is then given up."""
        doing = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if doing.done():
            doing.result()
            return False
        doing.cancel()
        await asyncio.wait({doing})
        return True
