"""A node in the cluster: it registers, follows its replicas, serves them, and says how that goes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version

from treadle_agent.cluster.departure import Departure
from treadle_agent.cluster.device import LocalDevice
from treadle_agent.cluster.duties import Duties
from treadle_agent.cluster.errors import KubeError
from treadle_agent.cluster.following import Follower
from treadle_agent.cluster.hardware import DeviceFacts
from treadle_agent.cluster.kube import LEASES, REPLICAS, KubeClient, Selection
from treadle_agent.cluster.lease import NodeLease, TakenOverError
from treadle_agent.cluster.nvml import Nvml
from treadle_agent.cluster.profiles import Profiles
from treadle_agent.cluster.registration import Registration
from treadle_agent.cluster.reporter import Reporter
from treadle_agent.cluster.settings import ClusterSettings
from treadle_agent.cluster.stop import Stop
from treadle_agent.frontend.site import Site
from treadle_agent.node import Node
from treadle_agent.node_agent import NodeAgent
from treadle_api.backoff import Backoff
from treadle_api.conditions import Condition, ConditionStatus, transition_time, with_condition
from treadle_api.leases import LEADER_LEASE
from treadle_api.node import READY, STOPPING
from treadle_api.node import Node as NodeObject

LAST_WORDS_SECONDS = 2.0  # for saying that the node stops
DEPARTURE_LOOK_SECONDS = 0.1
CONFIRM_SECONDS = 1.0  # for making sure that the node is still this agent's, before saying that it stops

_log = logging.getLogger(__name__)


class ClusterAgent:
    """One node's; `facts` in the order of `node.sites`. `run` does everything."""

    def __init__(
        self, node: Node, facts: Sequence[DeviceFacts], client: KubeClient, nvml: Nvml, settings: ClusterSettings
    ) -> None:
        self._node = node
        self._client = client
        self._settings = settings
        self._stopping = False
        self._taken_over = False
        self._devices: dict[str, LocalDevice] = {}
        self._agents: list[tuple[LocalDevice, NodeAgent]] = []
        node.front_end.on_duty = False
        self._lease = NodeLease(client, settings, self._is_loaded)
        self._duties = Duties(self._devices, settings.address, self._lease.look_soon)
        self._duties.listen(self._assigned)
        self._profiles = Profiles(client, settings.refine_seconds, settings.review_seconds)
        self._reporter = Reporter(client, self._duties.status_of, self._reach(), settings.look_seconds)
        self._registration = Registration(client, settings.node, self._describe, settings.look_seconds)
        for site, fact in zip(node.sites, facts, strict=True):
            self._add_device(site, fact, nvml)

    def _add_device(self, site: Site, facts: DeviceFacts, nvml: Nvml) -> None:
        def flipped(device: str, tenant: str) -> None:
            self._reporter.mark(self._duties.name_of(device, tenant))

        is_gpu = facts.id.startswith(("GPU-", "MIG-"))
        device = LocalDevice(
            facts,
            site,
            self._settings,
            measured=self._profiles.measured,
            fault=lambda: nvml.fault(facts.id) if is_gpu else "",
            flipped=flipped,
        )
        self._devices[facts.id] = device
        self._agents.append((device, self._node.agent(site, device.reconciler.observe)))

    async def run(self, stop: Stop) -> None:
        """Serve until `stop`, then leave in order: not ready, tenants moved elsewhere, requests under way answered, the
        Lease released. Where another agent serves the node now, what still comes is passed on to it.

        Raises:
            TakenOverError: another agent serves the node, and nobody has asked this one to stop.
        """
        lease = asyncio.create_task(self._lease.run(), name="lease")
        working = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("tell", self._tell()),
                ("follow", self._follow()),
                ("profiles", self._profiles.run(self._settings.reach.longest)),
                *((f"look at {device.facts.id}", self._look(device)) for device, _ in self._agents),
                *((f"reconcile {device.facts.id}", device.reconciler.run(agent)) for device, agent in self._agents),
            )
        ]
        leaving = asyncio.create_task(self._leave(stop), name="leave")
        try:
            done, _ = await asyncio.wait([lease, leaving, *working], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended it
        except TakenOverError as error:
            self._taken_over = True
            await self._hand_over(error.address, [leaving, *working], stop)
            if not stop.asked.is_set():
                raise
        finally:
            await self._end([leaving, *working], stop)
            lease.cancel()
            await asyncio.gather(lease, return_exceptions=True)
            await self._lease.release()

    async def _tell(self) -> None:
        """Write what is true of this node, from when its Lease is ours: until then another agent does."""
        await self._lease.held.wait()
        self._node.front_end.on_duty = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._registration.run())
            group.create_task(self._reporter.run(self._duties.draining))

    async def _hand_over(self, address: str, tasks: Sequence[asyncio.Task[object]], stop: Stop) -> None:
        """Pass on what comes to another agent, which has loaded all of it, for as long as clients may come here yet.

        One that serves nobody waits to be asked to stop, too: one that ends by itself is started again, and takes the
        node back.
        """
        await _cancel(tasks)
        self._node.mark_stopping()
        for site in self._node.sites:
            for entry in site.catalog.entries():
                site.moves.begin(entry.key, (address,), entry.tenant.slo.deadline)
        seconds = self._settings.leave_seconds
        _log.warning("an agent at %s serves this node now; what still comes is passed on, for %g s", address, seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (stop.hurried if self._serves() else stop.asked).wait()

    async def _leave(self, stop: Stop) -> None:
        """Wait for `stop`, tell of it, and serve on until the operator has moved all tenants elsewhere."""
        await stop.asked.wait()
        if not self._lease.held.is_set():
            return  # nobody was sent here
        with suppress(TimeoutError):  # of another agent's node there is nothing to tell
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._lease.confirm()
        loop, seconds = asyncio.get_running_loop(), self._settings.leave_seconds
        departure = Departure(loop.time() + seconds)
        self._mark_stopping()
        self._registration.look_soon()
        _log.info(
            "stopping: tenants are served until they are elsewhere, for %g s at most; again, and it ends at once",
            seconds,
        )
        while not departure.is_over(serves=self._serves(), now=loop.time()) and not stop.hurried.is_set():
            try:
                async with asyncio.timeout(DEPARTURE_LOOK_SECONDS):
                    await stop.hurried.wait()
            except TimeoutError:
                pass

    def _is_loaded(self) -> bool:
        """Whether all that was assigned when this agent started is loaded, or refused."""
        return all(site.catalog.ready for site in self._node.sites)

    def _serves(self) -> bool:
        """Whether any tenant is answered here."""
        return any(entry.served is not None for site in self._node.sites for entry in site.catalog.entries())

    def _mark_stopping(self) -> None:
        self._stopping = True
        self._node.mark_stopping()

    async def _end(self, tasks: Sequence[asyncio.Task[object]], stop: Stop) -> None:
        self._mark_stopping()
        _log.info("stopping: requests under way are answered first")
        await _cancel(tasks)
        if self._lease.held.is_set() and not self._taken_over and not stop.hurried.is_set():  # else it is another's
            try:
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self._registration.look()
            except TimeoutError:
                pass
        for _, agent in self._agents:
            await agent.close()
        await self._finish(stop)

    async def _finish(self, stop: Stop) -> None:
        """Close the front end once requests under way are answered, or a second signal has come."""
        finishing = asyncio.create_task(self._node.front_end.stop())
        hurried = asyncio.create_task(stop.hurried.wait())
        await asyncio.wait([finishing, hurried], return_when=asyncio.FIRST_COMPLETED)
        if hurried.done():
            self._node.front_end.hurry()
        hurried.cancel()
        await finishing

    async def _follow(self) -> None:
        """The leader first: a change of a replica is judged by its epoch."""
        leader = Selection(LEASES, self._settings.namespace, f"metadata.name={LEADER_LEASE}")
        replicas = Selection(REPLICAS, "", f"spec.nodeName={self._settings.node}")
        await self._reached(replicas)
        async with asyncio.TaskGroup() as group:
            group.create_task(Follower(self._client, leader, self._duties.leader, self._reach()).run())
            await self._duties.leader.known.wait()
            group.create_task(Follower(self._client, replicas, self._duties.replicas, self._reach()).run())

    async def _reached(self, selection: Selection) -> None:
        """Wait until the API server answers, and say so meanwhile."""
        loop, backoff = asyncio.get_running_loop(), self._reach()
        while True:
            try:
                await self._client.list(selection)
            except KubeError as error:
                wait = backoff.failed("", loop.time()) - loop.time()
                _log.warning("waiting for the API server, next try in %.1f s: %s", wait, error)
                await asyncio.sleep(wait)
            else:
                settings = self._settings
                _log.info("node %s is at %s in the cluster of %s", settings.node, settings.address, self._client.server)
                return

    async def _look(self, device: LocalDevice) -> None:
        while True:
            await device.look()
            self._profiles.retain({name for one in self._devices.values() for name in one.profiles})
            await asyncio.sleep(self._settings.look_seconds)

    def _assigned(self, replicas: Collection[str]) -> None:
        for key in replicas:
            self._reporter.known(key, *self._duties.told(key))
        self._reporter.retain(replicas)
        self._reporter.mark(replicas)

    def _describe(self, told: NodeObject | None) -> NodeObject:
        now = transition_time(time.time())
        generation = told.generation if told is not None else 0
        ready = replace(self._ready(), observed_generation=generation)
        conditions = with_condition(told.conditions if told is not None else (), ready, now)
        return NodeObject(
            name=self._settings.node,
            unschedulable=told.unschedulable if told is not None else False,
            cordoned=told.cordoned if told is not None else (),
            address=self._settings.address,
            devices=tuple(device.describe() for device in self._devices.values()),
            conditions=conditions,
            generation=generation,
            agent_version=version("treadle"),
        )

    def _ready(self) -> Condition:
        if self._stopping:
            message = "the agent was asked to stop; its tenants are to be served elsewhere"
            return Condition(READY, ConditionStatus.FALSE, STOPPING, message)
        if not self._is_loaded():
            return Condition(READY, ConditionStatus.FALSE, "Starting", "what was assigned before is being loaded")
        return Condition(READY, ConditionStatus.TRUE, "Serving", "the agent serves what is assigned to it")

    def _reach(self) -> Backoff[str]:
        return Backoff(self._settings.reach)


async def _cancel(tasks: Sequence[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
