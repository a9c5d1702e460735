"""A cluster that runs on a fake clock: an API server that keeps preconditions, and an agent a node."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from treadle_api.conditions import Condition, ConditionStatus, find_condition, with_condition
from treadle_api.histogram import BOUNDS
from treadle_api.node import CordonedDevice, Device, Node
from treadle_api.profile import BatchLatency, Profile
from treadle_api.replica import Figures, Replica, ReplicaStatus, TierFigures
from treadle_api.tenant import Model, Replicas, Slo, Tenant, Tier
from treadle_api.units import Bytes, Percent, PerSecond, Seconds, TenantName, TierName
from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteEndpointSlice,
    DeleteReplica,
    RecordEvent,
    UpdateReplica,
    WriteTenantStatus,
)
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import (
    EndpointSliceView,
    NodeView,
    ReplicaView,
    ServiceView,
    Snapshot,
    TenantView,
)

MIB = 1 << 20
START = 1_790_000_000.0


def stamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass(frozen=True)
class Truth:
    """What a model really takes; `seconds` on a device of model "gpu", twice that on others."""

    seconds: float
    memory: int
    architecture: str = ""

    def on(self, device_model: str) -> float:
        return self.seconds if device_model == "gpu" else 2 * self.seconds


@dataclass
class Loading:
    """What an agent does about a replica."""

    generation: int
    ready_at: float
    drained_at: float | None = None


@dataclass
class World:
    """All objects, and the agents that act on them. `writes`: changes by tenant key, the agents' included."""

    models: dict[str, Truth] = field(default_factory=dict)
    load_seconds: float = 1.0
    drain_seconds: float = 1.0
    now: float = START
    tenants: dict[str, TenantView] = field(default_factory=dict)
    replicas: dict[str, ReplicaView] = field(default_factory=dict)
    nodes: dict[str, NodeView] = field(default_factory=dict)
    profiles: dict[tuple[str, str], Profile] = field(default_factory=dict)
    services: dict[str, ServiceView] = field(default_factory=dict)
    slices: dict[str, EndpointSliceView] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    writes: Counter[str] = field(default_factory=Counter)
    events: list[RecordEvent] = field(default_factory=list)
    agents: dict[str, Loading] = field(default_factory=dict)
    figures: dict[str, Callable[[int], Figures]] = field(default_factory=dict)
    tiers: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    _version: int = 0
    last: Plan | None = None

    # --- what people do

    def add_node(
        self, name: str, devices: int = 1, model: str = "gpu", memory: int = 1024 * MIB, **labels: str
    ) -> None:
        made = tuple(Device(str(i), model, Bytes(memory), Bytes(0), 0.0, 1.0, True, "") for i in range(devices))
        number = len(self.nodes) + 1
        node = Node(name, False, (), f"10.0.{number // 250}.{number % 250 + 1}:8000", made, (), 1)
        self.nodes[name] = NodeView(node, alive=True, labels=labels)

    def add_tenant(self, name: str, models: list[str], **options: object) -> Tenant:
        """Tiers of the models, most accurate first: 95, 90, 85 … percent."""
        deadline = Seconds(float(options.pop("deadline", 0.1)))  # type: ignore[arg-type]
        floor = Percent(float(options.pop("min_accuracy", 0.0)))  # type: ignore[arg-type]
        replicas = options.pop("replicas", (1, 1))
        rate = options.pop("rate", None)
        tenant = Tenant(
            TenantName(name),
            "default",
            Slo(deadline, Percent(99.0), Seconds(3600.0), floor),
            tuple(
                Tier(TierName(f"t{i}"), Percent(95.0 - 5 * i), Model(f"https://models.test/{model}", digest(model)))
                for i, model in enumerate(models)
            ),
            None if rate is None else PerSecond(float(rate)),  # type: ignore[arg-type]
            int(options.pop("priority", 5)),  # type: ignore[call-overload]
            Replicas(*replicas),  # type: ignore[misc]
            tuple(options.pop("selector", ())),  # type: ignore[arg-type]
            None,
        )
        assert not options, options
        old = self.tenants.get(tenant.key)
        if old is None:
            self._version += 1
            self.tenants[tenant.key] = TenantView(tenant, f"uid-{name}-{self._version}", 1, self.now)
        else:
            self.tenants[tenant.key] = replace(old, tenant=tenant, generation=old.generation + 1)
        return tenant

    def delete_tenant(self, key: str) -> None:
        """As with garbage collection in the background: all that it owns goes, a little later or at once."""
        uid = self.tenants.pop(key).uid
        for owned in (self.replicas, self.services, self.slices):
            for name in [name for name, view in owned.items() if view.tenant_uid == uid]:  # type: ignore[attr-defined]
                del owned[name]  # type: ignore[attr-defined]

    def change_device(self, node: str, index: int, **changes: object) -> None:
        view = self.nodes[node]
        devices = list(view.node.devices)
        devices[index] = replace(devices[index], **changes)  # type: ignore[arg-type]
        self.nodes[node] = replace(view, node=replace(view.node, devices=tuple(devices)))

    def change_node(self, node: str, **changes: object) -> None:
        self.nodes[node] = replace(self.nodes[node], **changes)  # type: ignore[arg-type]

    def lose_node(self, node: str) -> None:
        self.change_node(node, alive=False)

    def condition(
        self, key: str, type_: str, *, holds: bool, reason: str = "Because", message: str = "it is so"
    ) -> None:
        """An agent's condition of a replica."""
        view = self.replicas[key]
        status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
        new = Condition(type_, status, reason, message, view.replica.generation)
        conditions = with_condition(view.replica.status.conditions, new, stamp(self.now))
        self._report(key, replace(view.replica.status, conditions=conditions))

    # --- the operator

    def snapshot(self) -> Snapshot:
        return Snapshot(
            7,
            dict(self.tenants),
            dict(self.replicas),
            dict(self.nodes),
            dict(self.profiles),
            dict(self.services),
            dict(self.slices),
        )

    def operate(self, most: int | None = None) -> tuple[Change, ...]:
        """One round of the operator, which is killed after `most` changes; returns all it wanted to do."""
        snapshot = self.snapshot()
        self.last = plan(snapshot, self.memory, self.now)
        self.memory = self.last.memory
        changes = converge(snapshot, self.last, self.now)
        for change in changes[:most]:
            self.apply(change)
        if most is not None and most < len(changes):
            self.memory = Memory()
        return changes

    def apply(self, change: Change) -> None:
        match change:
            case CreateReplica():
                key = f"{change.namespace}/{change.name}"
                assert key not in self.replicas, "created twice"
                spec = change.spec
                replica = Replica(
                    change.name,
                    change.namespace,
                    spec.tenant,
                    spec.tenant_generation,
                    spec.node,
                    spec.device,
                    spec.epoch,
                    spec.draining,
                    spec.successors,
                    1,
                    False,
                    ReplicaStatus(),
                )
                self._version += 1
                self.replicas[key] = ReplicaView(
                    replica,
                    f"r{self._version}",
                    str(self._version),
                    change.tenant_uid,
                    self.now,
                    change.cause,
                    change.replaces,
                )
                self._count(spec.tenant.key)
            case UpdateReplica():
                key = f"{change.namespace}/{change.name}"
                view = self.replicas[key]
                assert (view.uid, view.resource_version) == (change.uid, change.resource_version)
                spec = change.spec
                assert (spec.node, spec.device) == (view.replica.node, view.replica.device)
                replica = replace(
                    view.replica,
                    tenant=spec.tenant,
                    tenant_generation=spec.tenant_generation,
                    epoch=spec.epoch,
                    draining=spec.draining,
                    successors=spec.successors,
                    generation=view.replica.generation + 1,
                )
                self._version += 1
                self.replicas[key] = replace(view, replica=replica, resource_version=str(self._version))
                self._count(spec.tenant.key)
            case DeleteReplica():
                view = self.replicas.pop(f"{change.namespace}/{change.name}")
                assert (view.uid, view.resource_version) == (change.uid, change.resource_version)
                self._count(view.replica.tenant.key)
            case ApplyService():
                self.services[f"{change.namespace}/{change.name}"] = ServiceView(
                    change.namespace, change.name, change.tenant_uid, True
                )
                self._count(f"{change.tenant_name}.{change.namespace}")
            case ApplyEndpointSlice():
                self._version += 1
                self.slices[f"{change.namespace}/{change.name}"] = EndpointSliceView(
                    change.namespace,
                    change.name,
                    f"s{self._version}",
                    str(self._version),
                    change.tenant_uid,
                    change.address_type,
                    change.port,
                    change.endpoints,
                )
                self._count(f"{change.tenant_name}.{change.namespace}")
            case DeleteEndpointSlice():
                del self.slices[f"{change.namespace}/{change.name}"]
            case WriteTenantStatus():
                key = f"{change.name}.{change.namespace}"
                assert self.tenants[key].uid == change.uid
                self.tenants[key] = replace(self.tenants[key], status=change.status)
                self._count(key)
            case CordonDevices():
                view_ = self.nodes[change.node]
                people = [one for one in view_.node.cordoned if not one.reason.startswith("Straggling: ")]
                self.cordon(change.node, (*people, *change.cordoned))
            case RecordEvent():
                self.events.append(change)

    def cordon(self, node: str, cordoned: tuple[CordonedDevice, ...]) -> None:
        self.change_node(node, node=replace(self.nodes[node].node, cordoned=cordoned))

    # --- the agents

    def step_agents(self) -> None:
        for key in [key for key in self.agents if key not in self.replicas]:
            del self.agents[key]
        for key in sorted(self.replicas):
            view = self.replicas[key]
            node = self.nodes.get(view.replica.node)
            if node is not None and node.alive and not self._skips(view):
                self._serve(key, view, node)
        for name, node in self.nodes.items():
            for index, device in enumerate(node.node.devices):
                used = self.held(f"{name}/{device.id}")
                assert used <= device.memory, f"{name}/{device.id} holds {used / MIB} MiB of {device.memory / MIB}"
                if used != device.used:
                    self.change_device(name, index, used=Bytes(used))

    def _skips(self, view: ReplicaView) -> bool:
        condition = find_condition(view.replica.status.conditions, "Loaded")
        refused = condition is not None and condition.status is ConditionStatus.FALSE and condition.reason != "Loading"
        return refused and condition is not None and condition.observed_generation == view.replica.generation

    def _serve(self, key: str, view: ReplicaView, node: NodeView) -> None:
        agent, replica = self.agents.get(key), view.replica
        if replica.draining:
            if agent is None:
                self.condition(key, "Draining", holds=True, reason="Drained")
            elif agent.drained_at is None:
                agent.drained_at = self.now + self.drain_seconds
                self.condition(key, "Draining", holds=True, reason="Draining")
            elif self.now >= agent.drained_at:
                condition = find_condition(replica.status.conditions, "Draining")
                if condition is not None and condition.reason != "Drained":
                    self.condition(key, "Draining", holds=True, reason="Drained")
            return
        if agent is None or agent.generation != replica.generation:
            if agent is None and not self._has_room(view, node):
                self.refused += 1
                self.condition(key, "Loaded", holds=False, reason="InsufficientMemory")
                return
            self.agents[key] = Loading(replica.generation, self.now + self.load_seconds)
            return
        loaded = find_condition(replica.status.conditions, "Loaded")
        if self.now >= agent.ready_at and (loaded is None or loaded.observed_generation < replica.generation):
            self._loaded(key, view, node)
        elif view.place and replica.tenant.key in self.figures:
            serving = self.serving(replica.tenant.key)
            figures = self.figures[replica.tenant.key](max(1, len(serving)))
            tier = self.tiers.get(replica.tenant.key)
            status = self.replicas[key].replica.status
            new = replace(status, figures=figures, active_tier=TierName(tier) if tier else status.active_tier)
            if new != status:
                self._report(key, new)

    def _loaded(self, key: str, view: ReplicaView, node: NodeView) -> None:
        replica = view.replica
        device = next(device for device in node.node.devices if device.id == replica.device)
        tiers = []
        for tier in replica.tenant.served_tiers:
            name = tier.model.uri.rpartition("/")[2]
            truth = self.models.get(name, Truth(0.001, 8 * MIB))
            seconds = Seconds(truth.on(device.model))
            tiers.append(
                TierFigures(tier.name, digest(name), truth.architecture, "merged", seconds, Bytes(truth.memory))
            )
            profile = Profile(
                digest(name),
                device.model,
                truth.architecture,
                Bytes(truth.memory),
                (
                    BatchLatency(1, seconds, Seconds(1.2 * seconds)),
                    BatchLatency(8, Seconds(2 * seconds), Seconds(3 * seconds)),
                ),
            )
            self.profiles.setdefault((profile.sha256, profile.device_model), profile)
        conditions = replica.status.conditions
        for type_ in ("Loaded", "Serving"):
            new = Condition(type_, ConditionStatus.TRUE, type_, "", replica.generation)
            conditions = with_condition(conditions, new, stamp(self.now))
        status = replace(
            replica.status,
            observed_generation=replica.generation,
            conditions=conditions,
            address=node.node.address,
            tiers=tuple(tiers),
            active_tier=tiers[0].name,
            figures=Figures(Seconds(60.0), latency_counts=(0,) * (len(BOUNDS) + 1)),
        )
        self._report(key, status)

    def _report(self, key: str, status: ReplicaStatus) -> None:
        view = self.replicas[key]
        self._version += 1
        self.replicas[key] = replace(
            view, replica=replace(view.replica, status=status), resource_version=str(self._version)
        )
        self._count(view.replica.tenant.key)

    def _has_room(self, view: ReplicaView, node: NodeView) -> bool:
        device = next(device for device in node.node.devices if device.id == view.replica.device)
        held = {
            model
            for key, one in self.replicas.items()
            if key in self.agents and one.place == view.place
            for model in self._wants(one)
        }
        new = {model for model in self._wants(view) if model not in held}
        return self.held(view.place) + sum(self._size(model) for model in new) <= device.memory

    def held(self, place: str) -> int:
        """Bytes of the models that an agent has, or is loading."""
        models = {
            model
            for key, view in self.replicas.items()
            if view.place == place and key in self.agents
            for model in self._wants(view)
        }
        return sum(self._size(model) for model in models)

    def _wants(self, view: ReplicaView) -> list[str]:
        return [tier.model.uri.rpartition("/")[2] for tier in view.replica.tenant.served_tiers]

    def _size(self, model: str) -> int:
        return self.models.get(model, Truth(0.001, 8 * MIB)).memory

    def _count(self, key: str) -> None:
        self.writes[key] += 1

    # --- to look at

    def serving(self, tenant: str) -> list[ReplicaView]:
        """The replicas to which new requests can go."""
        found = []
        for view in self.replicas.values():
            condition = find_condition(view.replica.status.conditions, "Serving")
            node = self.nodes.get(view.replica.node)
            alive = node is not None and node.alive
            if view.replica.tenant.key == tenant and condition is not None and condition.holds and alive:
                found.append(view)
        return [view for view in found if not view.replica.draining]

    def places(self, tenant: str) -> list[str]:
        return sorted(view.place for view in self.replicas.values() if view.replica.tenant.key == tenant)

    def status(self, tenant: str, type_: str) -> Condition:
        condition = find_condition(self.tenants[tenant].status.conditions, type_)
        assert condition is not None, f"{tenant} has no condition {type_}"
        return condition

    def run(self, seconds: float, step: float = 0.5, check: Callable[[], None] | None = None) -> None:
        """Let time pass: agents, then the operator."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.step_agents()
            self.operate()
            if check is not None:
                check()

    def settle(self, most: float = 120.0) -> None:
        """Let time pass until nothing is left to do, and make sure that it stays so."""
        end = self.now + most
        idle = 0
        while idle < 8:
            self.now += 0.5
            before = self._version
            self.step_agents()
            changes = self.operate()
            idle = idle + 1 if not changes and before == self._version else 0
            assert self.now < end, f"still busy: {changes[:5]}"

    def shape(self) -> object:
        """What is to be the same however one got there."""
        return (
            {
                key: sorted(
                    (view.place, view.replica.draining)
                    for view in self.replicas.values()
                    if view.replica.tenant.key == key
                )
                for key in self.tenants
            },
            {
                key: [(one.type, one.status, one.reason) for one in view.status.conditions]
                for key, view in self.tenants.items()
            },
            {key: view.endpoints for key, view in self.slices.items()},
            sorted(self.services),
        )


@pytest.fixture
def world() -> Callable[..., World]:
    """Makes a World."""
    return World


@pytest.fixture
def seeded() -> Callable[[int], random.Random]:
    """Makes a seeded source."""
    return random.Random
