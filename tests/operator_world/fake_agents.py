"""Agents that load, serve and drain as they are told, on a fake clock; memory that does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fake_api import FakeApi
from operator_objects import GPU, MIB, digest, make_figures, model_of, stamp

from treadle_api.conditions import Condition, ConditionStatus, find_condition, with_condition
from treadle_api.node import Device
from treadle_api.profile import BatchLatency, Profile
from treadle_api.replica import Figures, LoadedReason, TierFigures
from treadle_api.units import Bytes, Seconds, TierName
from treadle_operator.snapshot import ReplicaView


@dataclass(frozen=True)
class Truth:
    """What a model really takes; `seconds` on a GPU, twice that on anything else."""

    seconds: float = 0.001
    memory: int = 8 * MIB
    architecture: str = ""

    def on(self, device_model: str) -> Seconds:
        return Seconds(self.seconds if device_model == GPU else 2 * self.seconds)


@dataclass
class _Loaded:
    """What an agent has of a replica: the generation that it loads, or has loaded, since or from when."""

    generation: int
    ready_at: float
    models: frozenset[str]
    previous: frozenset[str] = frozenset()
    drained_at: float | None = None


@dataclass
class FakeAgents:
    """The agents of all nodes that live. `faults`: reasons not to load a model, by name. `figures`: what each
    replica of a tenant counts, from how many there are; `tiers`: which tier they say answers. `refused`: uids of
    new replicas that had no room. `clock_ahead`: seconds by which their clocks are wrong.
    """

    api: FakeApi
    models: dict[str, Truth]
    load_seconds: float = 1.0
    drain_seconds: float = 1.0
    clock_ahead: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # places that load nothing
    figures: dict[str, Callable[[int], Figures]] = field(default_factory=dict)
    tiers: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    _loaded: dict[str, _Loaded] = field(default_factory=dict)
    _uids: dict[str, list[str]] = field(default_factory=dict)  # of replicas, by place
    _answering: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        """Let all agents look and act."""
        self._uids, self._answering = {}, {}
        for view in self.api.replicas.values():
            self._uids.setdefault(view.place, []).append(view.uid)
        known = {view.uid for view in self.api.replicas.values()}
        self._loaded = {uid: one for uid, one in self._loaded.items() if uid in known}
        for key in sorted(self.api.replicas):
            view = self.api.replicas[key]
            node = self.api.nodes.get(view.replica.node)
            if node is not None and node.alive:
                device = next((one for one in node.node.devices if one.id == view.replica.device), None)
                if device is not None:
                    self._attend(key, view, device, node.node.address)
        self._tell_memory()

    def held(self, place: str) -> int:
        """Bytes of all models that a device has, or is loading."""
        return self._size(self._models_at(place))

    def say(self, key: str, *conditions: Condition) -> None:
        """Set conditions of a replica."""
        status = self.api.replicas[key].replica.status
        known = status.conditions
        for condition in conditions:
            known = with_condition(known, condition, self._stamp())
        if known != status.conditions:
            self.api.report(key, replace(status, conditions=known))

    def condition(self, key: str, type_: str, reason: str, *, holds: bool) -> Condition:
        status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
        return Condition(type_, status, reason, "so it is", self.api.replicas[key].replica.generation)

    def _stamp(self) -> str:
        return stamp(self.api.now + self.clock_ahead)

    def _attend(self, key: str, view: ReplicaView, device: Device, address: str) -> None:
        mine = self._loaded.get(view.uid)
        if view.replica.draining:
            self._drain(key, mine)
        elif mine is None or mine.generation != view.replica.generation:
            self._begin(key, view, device, mine)
        elif self.api.now >= mine.ready_at:
            self._serve(key, view, device, address, mine)

    def _begin(self, key: str, view: ReplicaView, device: Device, mine: _Loaded | None) -> None:
        if mine is not None and self.api.now < mine.ready_at:
            mine = None  # nobody wants any more what it was about to load
            del self._loaded[view.uid]
        models = frozenset(model_of(tier) for tier in view.replica.tenant.served_tiers)
        fault = next((self.faults[model] for model in sorted(models) if model in self.faults), "")
        if view.place in self.broken:
            fault = LoadedReason.LOAD_FAILED
        elif not fault and self._size(self._models_at(view.place) | models) > device.memory:
            fault = LoadedReason.LOAD_FAILED
            if view.replica.generation == 1:
                self.refused.add(view.uid)
        if fault:
            self.say(key, self.condition(key, "Loaded", LoadedReason(fault), holds=False))
            return
        previous = mine.models if mine is not None else frozenset()
        generation = view.replica.generation
        self._loaded[view.uid] = _Loaded(generation, self.api.now + self.load_seconds, models, previous)

    def _serve(self, key: str, view: ReplicaView, device: Device, address: str, mine: _Loaded) -> None:
        mine.previous = frozenset()
        status = view.replica.status
        loaded = find_condition(status.conditions, "Loaded")
        tenant = view.replica.tenant.key
        if loaded is None or not loaded.holds or loaded.observed_generation < view.replica.generation:
            conditions = status.conditions
            for type_ in ("Loaded", "Serving"):
                conditions = with_condition(conditions, self.condition(key, type_, type_, holds=True), self._stamp())
            tiers = tuple(self._figures(tier.name, model_of(tier), device) for tier in view.replica.tenant.served_tiers)
            status = replace(
                status,
                observed_generation=view.replica.generation,
                conditions=conditions,
                address=address,
                tiers=tiers,
                active_tier=tiers[0].name,
                figures=make_figures(),
            )
        status = replace(
            status,
            figures=self._count(tenant, status.figures),
            active_tier=TierName(self.tiers[tenant]) if tenant in self.tiers else status.active_tier,
        )
        if status != view.replica.status:
            self.api.report(key, status)

    def _count(self, tenant: str, told: Figures) -> Figures:
        if tenant not in self.figures:
            return told
        if tenant not in self._answering:
            views = [view for view in self.api.replicas.values() if view.replica.tenant.key == tenant]
            self._answering[tenant] = sum(view.uid in self._loaded and not view.replica.draining for view in views)
        return self.figures[tenant](self._answering[tenant])

    def _drain(self, key: str, mine: _Loaded | None) -> None:
        if mine is None:
            self.say(key, self.condition(key, "Draining", "Drained", holds=True))
        elif mine.drained_at is None:
            mine.drained_at = self.api.now + self.drain_seconds
            self.say(key, self.condition(key, "Draining", "Draining", holds=True))
        elif self.api.now >= mine.drained_at:
            self.say(key, self.condition(key, "Draining", "Drained", holds=True))

    def _figures(self, name: TierName, model: str, device: Device) -> TierFigures:
        """What was measured when it was loaded; a ModelProfile is written of it."""
        truth = self._truth(model)
        seconds, size = truth.on(device.model), Bytes(truth.memory)
        rows = (
            BatchLatency(1, seconds, Seconds(1.2 * seconds)),
            BatchLatency(8, Seconds(2 * seconds), Seconds(3 * seconds)),
        )
        profile = Profile(digest(model), device.model, truth.architecture, size, rows)
        self.api.profiles.setdefault((profile.sha256, profile.device_model), profile)
        return TierFigures(name, digest(model), truth.architecture, "merged", seconds, size)

    def _tell_memory(self) -> None:
        for name, view in self.api.nodes.items():
            used = [self.held(f"{name}/{device.id}") for device in view.node.devices]
            for device, size in zip(view.node.devices, used, strict=True):
                assert size <= device.memory, f"{name}/{device.id} holds {size} of {device.memory} bytes"
            devices = tuple(
                replace(device, used=Bytes(size)) for device, size in zip(view.node.devices, used, strict=True)
            )
            if devices != view.node.devices:
                self.api.nodes[name] = replace(view, node=replace(view.node, devices=devices))

    def _models_at(self, place: str) -> frozenset[str]:
        found = (self._loaded.get(uid) for uid in self._uids.get(place, ()))
        return frozenset().union(*(one.models | one.previous for one in found if one is not None))

    def _size(self, models: Iterable[str]) -> int:
        return sum(self._truth(model).memory for model in models)

    def _truth(self, model: str) -> Truth:
        return self.models.get(model, Truth())
