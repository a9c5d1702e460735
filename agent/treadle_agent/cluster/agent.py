"""A node in the cluster: it registers, follows its replicas, serves them, and says how that goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from treadle_agent.cluster.assignments import Assignment, Assignments
from treadle_agent.cluster.backoff import Backoff
from treadle_agent.cluster.device import LocalDevice
from treadle_agent.cluster.errors import KubeError
from treadle_agent.cluster.following import Follower
from treadle_agent.cluster.hardware import DeviceFacts
from treadle_agent.cluster.kube import LEASES, REPLICAS, KubeClient, Selection
from treadle_agent.cluster.lease import NodeLease
from treadle_agent.cluster.nvml import Nvml
from treadle_agent.cluster.profiles import Profiles
from treadle_agent.cluster.reconciler import Reconciler
from treadle_agent.cluster.registration import Registration
from treadle_agent.cluster.reporter import Reporter
from treadle_agent.cluster.settings import LEADER_LEASE, ClusterSettings
from treadle_agent.cluster.sinks import LeaderSink, ReplicaSink
from treadle_agent.cluster.status import Observation, status_of, unreadable
from treadle_agent.frontend.site import Site
from treadle_agent.node import Node
from treadle_agent.node_agent import NodeAgent
from treadle_agent.node_events import Refused
from treadle_api.conditions import Condition, ConditionStatus, with_condition
from treadle_api.node import Node as NodeObject
from treadle_api.replica import ReplicaStatus

LAST_WORDS_SECONDS = 2.0  # for saying that the node stops

_log = logging.getLogger(__name__)


class ClusterAgent:
    """One node's; `facts` in the order of `node.sites`. `run` does everything."""

    def __init__(
        self, node: Node, facts: Sequence[DeviceFacts], client: KubeClient, nvml: Nvml, settings: ClusterSettings
    ) -> None:
        self._node = node
        self._client = client
        self._settings = settings
        self._selection = Selection(REPLICAS, "", f"spec.nodeName={settings.node}")
        self._stopping = False
        self._told_stale: set[str] = set()
        self._assignments = Assignments()
        self._replicas = ReplicaSink(self._assignments, self._spread)
        self._lease = NodeLease(client, settings)
        self._profiles = Profiles(client, settings.refine_seconds)
        self._reporter = Reporter(client, self._statuses, self._reach(), settings.look_seconds)
        self._registration = Registration(client, settings.node, self._describe, settings.look_seconds)
        self._devices: dict[str, LocalDevice] = {}
        self._agents: list[tuple[Reconciler, NodeAgent]] = []
        for site, fact in zip(node.sites, facts, strict=True):
            self._add_device(site, fact, nvml)

    def _add_device(self, site: Site, facts: DeviceFacts, nvml: Nvml) -> None:
        settings = self._settings
        backoff = Backoff(settings.retry_first, settings.retry_longest)
        reconciler = Reconciler(site, backoff, settings.address, settings.linger_seconds, self._reporter.wake)
        is_gpu = facts.id.startswith(("GPU-", "MIG-"))
        device = LocalDevice(
            facts, site, reconciler, self._profiles.measured, lambda: nvml.fault(facts.id) if is_gpu else ""
        )
        reconciler.listen(device.on_event)
        self._devices[facts.id] = device
        self._agents.append((reconciler, self._node.agent(site, reconciler.observe)))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then end in order: not ready, requests under way answered, the Lease released.

        Raises:
            TakenOverError: another agent serves the node now.
        """
        lease = asyncio.create_task(self._lease.run(), name="lease")
        working = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("register", self._registration.run()),
                ("follow", self._follow()),
                ("report", self._reporter.run(self._until_next_look)),
                ("profiles", self._profiles.run(self._settings.reach_longest)),
                *((f"device {name}", self._watch(device)) for name, device in self._devices.items()),
                *((f"reconcile {index}", one.run(agent)) for index, (one, agent) in enumerate(self._agents)),
            )
        ]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([lease, stopping, *working], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what ended it
        finally:
            await self._end([stopping, *working])
            lease.cancel()
            await asyncio.gather(lease, return_exceptions=True)
            await self._lease.release()

    async def _end(self, tasks: Sequence[asyncio.Task[object]]) -> None:
        self._stopping = True
        self._node.mark_stopping()
        _log.info("stopping: requests under way are answered first")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._registration.look()
        except TimeoutError:
            pass
        for _, agent in self._agents:
            await agent.close()
        await self._node.front_end.stop()

    async def _follow(self) -> None:
        """The leader first: a change of a replica is judged by its epoch."""
        await self._reached()
        sink = LeaderSink(self._assignments, self._spread)
        leader = Selection(LEASES, self._settings.namespace, f"metadata.name={LEADER_LEASE}")
        async with asyncio.TaskGroup() as group:
            group.create_task(Follower(self._client, leader, sink, self._reach()).run())
            await sink.known.wait()
            group.create_task(Follower(self._client, self._selection, self._replicas, self._reach()).run())

    async def _reached(self) -> None:
        """Wait until the API server answers, and say so meanwhile."""
        loop, backoff = asyncio.get_running_loop(), self._reach()
        while True:
            try:
                await self._client.list(self._selection)
            except KubeError as error:
                wait = backoff.failed("", loop.time()) - loop.time()
                _log.warning("waiting for the API server, next try in %.1f s: %s", wait, error)
                await asyncio.sleep(wait)
            else:
                _log.info("node %s is at %s in the cluster of %s", *self._names)
                return

    @property
    def _names(self) -> tuple[str, str, str]:
        return self._settings.node, self._settings.address, self._client.server

    async def _watch(self, device: LocalDevice) -> None:
        while True:
            await device.look()
            self._reporter.wake()
            await asyncio.sleep(self._settings.look_seconds)

    def _spread(self) -> None:
        """What is assigned has changed: tell every device, and look at what is to be told."""
        if not self._assignments.known:
            return
        for key, assignment in self._assignments:
            self._reporter.known(key, assignment.latest.status)
            self._tell_stale(key, assignment)
        self._reporter.retain({key for key, _ in self._assignments} | self._replicas.unreadable.keys())
        for name, device in self._devices.items():
            accepted = [one.accepted for _, one in self._assignments if one.accepted is not None]
            device.reconciler.want([replica for replica in accepted if replica.device == name])
        self._reporter.wake()

    def _tell_stale(self, key: str, assignment: Assignment) -> None:
        if assignment.stale and key not in self._told_stale:
            _log.warning(
                "a change of InferenceReplica %s is refused: its epoch is %d, the leader's %d",
                key, assignment.latest.epoch, self._assignments.epoch,
            )  # fmt: skip
        (self._told_stale.add if assignment.stale else self._told_stale.discard)(key)

    def _statuses(self, told: Mapping[str, ReplicaStatus]) -> Mapping[str, ReplicaStatus]:
        now, address = _now(), self._settings.address
        statuses = {
            key: status_of(one, self._observation(one), address, told.get(key, ReplicaStatus()), now)
            for key, one in self._assignments
        }
        for key, problem in self._replicas.unreadable.items():
            statuses.setdefault(key, unreadable(problem.problem, problem.generation, address, now))
        return statuses

    def _observation(self, assignment: Assignment) -> Observation:
        replica = assignment.accepted or assignment.latest
        device = self._devices.get(replica.device)
        if device is not None:
            return device.observation(replica.tenant.key) if assignment.accepted is not None else Observation()
        reason = f"node {self._settings.node} has no device {replica.device}; it has {', '.join(self._devices)}"
        key = replica.tenant.key
        refused = Refused(key, "spec.device", "DeviceNotFound", reason, previous=False, temporary=True)
        return Observation(refused=refused)

    def _until_next_look(self) -> float:
        drains = any(one.accepted is not None and one.accepted.draining for _, one in self._assignments)
        return self._settings.drain_look_seconds if drains else self._settings.look_seconds

    def _describe(self, told: NodeObject | None) -> NodeObject:
        conditions = with_condition(told.conditions if told is not None else (), self._ready(), _now())
        return NodeObject(
            name=self._settings.node,
            unschedulable=told.unschedulable if told is not None else False,
            cordoned=told.cordoned if told is not None else (),
            address=self._settings.address,
            devices=tuple(device.describe() for device in self._devices.values()),
            conditions=conditions,
            generation=told.generation if told is not None else 0,
            agent_version=version("treadle"),
        )

    def _ready(self) -> Condition:
        if self._stopping:
            return Condition("Ready", ConditionStatus.FALSE, "Stopping", "the agent was asked to stop")
        if not all(site.catalog.ready for site in self._node.sites):
            return Condition("Ready", ConditionStatus.FALSE, "Starting", "what was assigned before is being loaded")
        return Condition("Ready", ConditionStatus.TRUE, "Serving", "the agent serves what is assigned to it")

    def _reach(self) -> Backoff:
        return Backoff(self._settings.reach_first, self._settings.reach_longest)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
