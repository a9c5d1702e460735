"""Agents that are played: all that the API server sees of many nodes' agents, from one process and with no models.

They use the agent's own requests, objects and fencing; only loading, serving and draining are make-believe.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field

from treadle_agent.cluster.assignments import Assignments, key_of
from treadle_agent.cluster.errors import ConflictError, KubeError, NotFoundError
from treadle_agent.cluster.following import Follower
from treadle_agent.cluster.kube import LEASES, NODES, PROFILES, REPLICAS, Json, KubeClient, Selection
from treadle_agent.cluster.lease import NodeLease
from treadle_agent.cluster.manifests import node_manifest, profile_manifest, status_manifest
from treadle_agent.cluster.reporting import held
from treadle_agent.cluster.settings import ClusterSettings
from treadle_agent.cluster.sinks import LeaderSink
from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.conditions import Condition, ConditionStatus, transition_time, with_condition
from treadle_api.fields import Fields
from treadle_api.leases import LEADER_LEASE
from treadle_api.node import Device, Node
from treadle_api.profile import BatchLatency, Profile
from treadle_api.replica import (
    Figures,
    LoadedReason,
    Replica,
    ReplicaCondition,
    ReplicaStatus,
    TierFigures,
    read_replica,
)
from treadle_api.tenant import Tenant, Tier
from treadle_api.units import Bytes, Seconds

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
DEVICE_MODEL = "Played"

_WRITERS = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the played agents do not load a tenant."""

    reason: LoadedReason
    message: str


@dataclass(slots=True)
class Part:
    """What is played; may be changed at any time, followed by `PlayedAgents.look_again`.

    Attributes:
        load_seconds: from a replica's first sight, or a change of its template, until it is served.
        drain_seconds: until nothing is left to answer.
        service_seconds: of each tier, for one row alone.
        tier_bytes: each tier's weights.
        lease_seconds: how long a node's Lease holds; it is renewed three times in that.
        refusals: by tenant's name.
        stragglers: by ``TENANT@NODE``: replicas that their agent finds too slow.
        figures: by tenant's name: what each of its replicas counted.
        stretch: by node: observed over expected kernel time of its devices.
    """

    load_seconds: float = 0.2
    drain_seconds: float = 0.1
    service_seconds: float = 0.002
    tier_bytes: int = 1 << 20
    lease_seconds: int = 15
    refusals: dict[str, Refusal] = field(default_factory=dict)
    stragglers: set[str] = field(default_factory=set)
    figures: dict[str, Figures] = field(default_factory=dict)
    stretch: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlayedNode:
    """A node. `address` is HOST:PORT, of nobody; each device has `memory` bytes."""

    name: str
    address: str
    devices: tuple[str, ...] = ("0",)
    memory: int = 1 << 34


@dataclass(slots=True)
class _Played:
    """What one node's agent holds of one replica: the tenant whose version it serves, and what it has told."""

    loaded: Tenant | None = None
    told: ReplicaStatus = field(default_factory=ReplicaStatus)
    task: asyncio.Task[None] | None = None


class PlayedAgents:
    """The agents of `nodes`; those in `lost` are silent, as after a power cut."""

    def __init__(self, client: KubeClient, namespace: str, nodes: Sequence[PlayedNode], part: Part) -> None:
        self._client = client
        self._namespace = namespace
        self._nodes = {node.name: node for node in nodes}
        self._part = part
        self._assignments = Assignments()
        self._played: dict[str, _Played] = {}
        self._told_nodes: dict[str, Node] = {}
        self._profiled: set[str] = set()
        self._agents: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers = asyncio.Semaphore(_WRITERS)
        self.lost: set[str] = set()
        self.writes = 0
        self.refused_epochs: list[tuple[str, int]] = []

    async def run(self) -> None:
        """Play; never returns."""
        backoff: Backoff[str] = Backoff(BackoffTiming(Seconds(0.1), Seconds(2.0)))
        replicas = Follower(self._client, Selection(REPLICAS, "", ""), self, backoff)
        leader = Follower(
            self._client,
            Selection(LEASES, self._namespace, f"metadata.name={LEADER_LEASE}"),
            LeaderSink(self._assignments, self.look_again),
            backoff,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(replicas.run())
                group.create_task(leader.run())
                for name in self._nodes:
                    self._begin(name)
                await asyncio.Event().wait()
        finally:  # whoever ends this closes the client next
            left = {*self._agents.values(), *self._tasks}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def places(self) -> list[tuple[str, str]]:
        """The tenant and the node of each replica."""
        return [(assignment.latest.tenant.name, assignment.latest.node) for _, assignment in self._assignments]

    def lose(self, name: str) -> None:
        """A node's agent falls silent; what it served is forgotten."""
        self.lost.add(name)
        self._agents.pop(name).cancel()
        for key, assignment in self._assignments:
            if assignment.latest.node == name:
                self._drop(key)

    def revive(self, name: str) -> None:
        """A lost node's agent starts anew."""
        self.lost.discard(name)
        self._begin(name)
        self.look_again()

    def look_again(self) -> None:
        """The part, or the leader, has changed."""
        for key, assignment in self._assignments:
            if assignment.accepted is not None:
                self._play(key, assignment.accepted)
        for name, task in self._agents.items():
            if not task.done() and name in self._told_nodes:
                self._later(self._tell_node(name))

    # A `following.Sink` of all replicas.

    def listed(self, objects: Sequence[Json]) -> None:
        """These are all there are."""
        found = [read_replica(manifest) for manifest in objects]
        self._assignments.listed(found)
        for key in self._played.keys() - {key_of(replica) for replica in found}:
            self._drop(key)
        self.look_again()

    def changed(self, manifest: Json) -> None:
        """A replica is new, or has changed."""
        replica = read_replica(manifest)
        key = key_of(replica)
        known = self._assignments.get(key)
        self._assignments.changed(replica)
        assignment = self._assignments.get(key)
        assert assignment is not None
        if assignment.stale and replica.generation != (known.latest.generation if known is not None else 0):
            self.refused_epochs.append((key, replica.epoch))
            self._later(self._refuse(key, replica))
        accepted = assignment.accepted
        before = known.accepted if known is not None else None
        if accepted is not None and (before is None or accepted.generation != before.generation):
            self._play(key, accepted)

    def removed(self, manifest: Json) -> None:
        """A replica is gone."""
        metadata = Fields("", manifest).child("metadata")
        key = f"{metadata.values['namespace']}/{metadata.values['name']}"
        self._assignments.removed(key)
        self._drop(key)

    def _begin(self, name: str) -> None:
        self._agents[name] = asyncio.get_running_loop().create_task(self._agent(name), name=f"agent {name}")

    async def _agent(self, name: str) -> None:
        """One node's: its InferenceNode, then its Lease for as long as it lives."""
        while name not in self._told_nodes:
            try:
                await self._tell_node(name, create=True)
            except KubeError as error:
                _log.warning("node %s cannot be registered: %s", name, error)
                await asyncio.sleep(1.0)
        node = self._nodes[name]
        settings = ClusterSettings(
            name, node.address, self._namespace, lease_seconds=self._part.lease_seconds,
            renew_seconds=self._part.lease_seconds / 3,
        )  # fmt: skip
        await NodeLease(self._client, settings, lambda: True).run()

    async def _tell_node(self, name: str, *, create: bool = False) -> None:
        node = self._nodes[name]
        status = Node(
            name=name,
            unschedulable=False,
            cordoned=(),
            address=node.address,
            devices=tuple(self._device(name, device, node.memory) for device in node.devices),
            conditions=(Condition("Ready", TRUE, "Ready", "it is played", 1, _now()),),
            generation=1,
            agent_version="played",
        )
        told = self._told_nodes.get(name)
        if not create and told is not None and told.devices == status.devices:
            return
        if create:
            try:
                manifest = {"apiVersion": NODES.api_version, "kind": NODES.name, "metadata": {"name": name}}
                await self._write(self._client.create(NODES, "", manifest))
            except ConflictError:
                pass
        await self._write(self._client.apply(NODES, "", name, node_manifest(status), "status"))
        self._told_nodes[name] = status

    def _device(self, node: str, device: str, memory: int) -> Device:
        stretch = self._part.stretch.get(node, 1.0)
        return Device(device, DEVICE_MODEL, Bytes(memory), Bytes(0), 0.0, stretch, healthy=True, reason="")

    def _play(self, key: str, replica: Replica) -> None:
        if replica.node not in self._nodes or replica.node in self.lost:
            return
        played = self._played.setdefault(key, _Played(told=replica.status))
        if played.task is not None:
            played.task.cancel()
        played.task = self._later(self._act(key, replica, played))

    async def _act(self, key: str, replica: Replica, played: _Played) -> None:
        """Do what the replica's spec asks for, and tell what is true at each stop on the way."""
        if replica.draining:
            if self._part.drain_seconds > 0:
                await self._tell(key, replica, played, drained=False)
                await asyncio.sleep(self._part.drain_seconds)
            await self._tell(key, replica, played, drained=True)
            return
        if played.loaded != replica.tenant and replica.tenant.name not in self._part.refusals:
            await self._load(key, replica, played)
        await self._tell(key, replica, played)

    async def _load(self, key: str, replica: Replica, played: _Played) -> None:
        """As long as that takes; told of, unless it is over as soon as agents do not tell of."""
        seconds = self._part.load_seconds
        quiet = min(seconds, held(played.told, self._status(replica, played)))
        await asyncio.sleep(quiet)
        if quiet < seconds:
            await self._tell(key, replica, played)
            await asyncio.sleep(seconds - quiet)
        played.loaded = replica.tenant
        await self._profile(replica.tenant)

    async def _refuse(self, key: str, replica: Replica) -> None:
        """Tell that a change is not taken: it is of an epoch that has ended."""
        played = self._played.setdefault(key, _Played(told=replica.status))
        stale = Condition(ReplicaCondition.LOADED, FALSE, LoadedReason.STALE_EPOCH, "as played", replica.generation)
        conditions = with_condition(played.told.conditions, stale, _now())
        await self._send(key, played, dataclasses.replace(played.told, conditions=conditions))

    async def _tell(self, key: str, replica: Replica, played: _Played, *, drained: bool | None = None) -> None:
        await self._send(key, played, self._status(replica, played, drained=drained))

    def _status(self, replica: Replica, played: _Played, *, drained: bool | None = None) -> ReplicaStatus:
        conditions, now = played.told.conditions, _now()
        for condition in self._conditions(replica, played, drained=drained):
            conditions = with_condition(conditions, condition, now)
        loaded = played.loaded
        return ReplicaStatus(
            observed_generation=replica.generation,
            observed_epoch=replica.epoch,
            conditions=conditions,
            address=self._nodes[replica.node].address,
            active_tier=loaded.served_tiers[0].name if loaded is not None else None,
            tiers=tuple(self._tier(tier) for tier in loaded.served_tiers) if loaded is not None else (),
            figures=self._part.figures.get(replica.tenant.name, Figures(Seconds(0.0))),
        )

    async def _send(self, key: str, played: _Played, status: ReplicaStatus) -> None:
        if status == played.told:
            return
        namespace, _, name = key.partition("/")
        try:
            await self._write(self._client.apply(REPLICAS, namespace, name, status_manifest(status), "status"))
        except NotFoundError:
            return  # deleted meanwhile; the watch will say so
        played.told = status

    def _conditions(self, replica: Replica, played: _Played, *, drained: bool | None) -> Iterator[Condition]:
        generation = replica.generation
        refusal = self._part.refusals.get(replica.tenant.name)
        if played.loaded == replica.tenant:
            yield Condition(ReplicaCondition.LOADED, TRUE, LoadedReason.LOADED, "its tiers are loaded", generation)
        elif refusal is not None:
            yield Condition(ReplicaCondition.LOADED, FALSE, refusal.reason, refusal.message, generation)
        else:
            yield Condition(ReplicaCondition.LOADED, FALSE, LoadedReason.LOADING, "its models are loaded", generation)
        serving = (TRUE, "Serving") if played.loaded is not None else (FALSE, "NotLoaded")
        yield Condition(ReplicaCondition.SERVING, *serving, "as played", generation)
        if drained is None:
            yield Condition(ReplicaCondition.DRAINING, FALSE, "NotDraining", "it takes requests", generation)
        else:
            reason = "Drained" if drained else "Draining"
            yield Condition(ReplicaCondition.DRAINING, TRUE, reason, "as played", generation)
        straggles = f"{replica.tenant.name}@{replica.node}" in self._part.stragglers
        verdict = (TRUE, "SlowKernels") if straggles else (FALSE, "AsExpected")
        yield Condition(ReplicaCondition.STRAGGLING, *verdict, "as played", generation)

    def _tier(self, tier: Tier) -> TierFigures:
        return TierFigures(
            tier.name, digest(tier), "", "played", Seconds(self._part.service_seconds), Bytes(self._part.tier_bytes)
        )

    async def _profile(self, tenant: Tenant) -> None:
        """Tell what was measured of each model, once."""
        for tier in tenant.served_tiers:
            sha256 = digest(tier)
            if sha256 in self._profiled:
                continue
            self._profiled.add(sha256)
            seconds = Seconds(self._part.service_seconds)
            batches = (BatchLatency(1, seconds, Seconds(seconds * 1.2)),)
            profile = Profile(sha256, DEVICE_MODEL, "", Bytes(self._part.tier_bytes), batches)
            await self._write(self._client.apply(PROFILES, "", profile.name, profile_manifest(profile)))

    def _drop(self, key: str) -> None:
        played = self._played.pop(key, None)
        if played is not None and played.task is not None:
            played.task.cancel()

    async def _write(self, request: Awaitable[Json]) -> None:
        async with self._writers:
            await request
        self.writes += 1

    def _later(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except KubeError as error:
                _log.warning("a played agent could not write: %s", error)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def digest(tier: Tier) -> str:
    """The digest of a tier's model, as it is played where the manifest has none."""
    return tier.model.sha256 or hashlib.sha256(tier.model.uri.encode()).hexdigest()


def _now() -> str:
    return transition_time(time.time())
