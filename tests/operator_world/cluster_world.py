"""A whole cluster on a fake clock: the API server's objects, the agents, and the operator that is tested."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fake_agents import FakeAgents, Truth
from fake_api import FakeApi
from operator_objects import make_node, make_tenant

from treadle_api.conditions import Condition, find_condition
from treadle_api.tenant import Tenant
from treadle_operator.policy.changes import Change, DeleteReplica, UpdateReplica
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.policy.planning import plan
from treadle_operator.policy.reporting import FIGURES_EVERY
from treadle_operator.snapshot import ReplicaView

STEP = 0.5


@dataclass
class World:
    """What holds at any time is asserted: see `_check`, and the agents' memory."""

    models: dict[str, Truth] = field(default_factory=dict)
    api: FakeApi = field(default_factory=FakeApi)
    memory: Memory = field(default_factory=Memory)
    planned: Plan | None = None

    def __post_init__(self) -> None:
        self.agents = FakeAgents(self.api, self.models)

    def add_nodes(self, count: int, **options: object) -> None:
        for _ in range(count):
            view = make_node(f"n{len(self.api.nodes):03}", **options)  # type: ignore[arg-type]
            self.api.nodes[view.node.name] = view

    def add(self, name: str, *models: str, **options: object) -> Tenant:
        tenant = make_tenant(name, models or ("large", "small"), **options)  # type: ignore[arg-type]
        self.api.put_tenant(tenant)
        return tenant

    def lose(self, node: str) -> None:
        self.api.nodes[node] = replace(self.api.nodes[node], alive=False)

    def operate(self) -> tuple[Change, ...]:
        """One round of the operator; returns what it did."""
        snapshot = self.api.snapshot()
        self.planned = plan(snapshot, self.memory, self.api.now)
        self.memory = self.planned.memory
        changes = converge(snapshot, self.planned, self.api.now)
        answering = {key: self.answering(key) for key in self.planned.tenants}
        for change in changes:
            self.api.apply(change)
            self._check(change, answering)
        return changes

    def step(self, seconds: float = STEP) -> tuple[Change, ...]:
        """Let time pass, once."""
        self.api.now += seconds
        self.agents.step()
        return self.operate()

    def run(self, seconds: float, step: float = STEP) -> None:
        for _ in range(round(seconds / step)):
            self.step(step)

    def settle(self, most: float = 120.0) -> float:
        """Run until nothing has changed for longer than figures are held back; returns how long it took.

        Fails if that takes too long.
        """
        begin, quiet, last = self.api.now, 0, self.api.now
        while quiet * STEP <= FIGURES_EVERY:
            before = self.api.version
            changes = self.step()
            quiet = quiet + 1 if not changes and before == self.api.version else 0
            last = self.api.now if not quiet else last
            assert self.api.now < begin + most, f"still at it: {changes[:4]}"
        return last - begin

    def _check(self, change: Change, before: dict[str, int]) -> None:
        """No change leaves fewer replicas of a tenant answering than before the round, unless fewer are planned."""
        assert self.planned is not None
        if isinstance(change, UpdateReplica):
            key = change.spec.tenant.key
        elif isinstance(change, DeleteReplica):
            key = change.name  # a deleted replica did not answer new requests: all are looked at
        else:
            return
        for tenant in before.keys() & {key} or before.keys():
            least = min(before[tenant], len(self.planned.tenants[tenant].placements))
            now = self.answering(tenant)
            assert now >= least, f"{tenant}: {now} replicas answer, {before[tenant]} did, {least} should"

    def replicas(self, tenant: Tenant) -> list[ReplicaView]:
        return [view for view in self.api.replicas.values() if view.replica.tenant.key == tenant.key]

    def places(self, tenant: Tenant) -> list[str]:
        return sorted(view.place for view in self.replicas(tenant))

    def answering(self, tenant: str) -> int:
        """Replicas that take new requests."""
        count = 0
        for view in self.api.replicas.values():
            condition = find_condition(view.replica.status.conditions, "Serving")
            node = self.api.nodes.get(view.replica.node)
            if view.replica.tenant.key == tenant and not view.replica.draining and node is not None and node.alive:
                count += condition is not None and condition.holds
        return count

    def condition(self, tenant: Tenant, type_: str) -> Condition:
        found = find_condition(self.api.tenants[tenant.key].status.conditions, type_)
        assert found is not None, f"{tenant.key} has no condition {type_}"
        return found

    def events(self, tenant: Tenant) -> list[str]:
        return [event.reason for event in self.api.events if event.name == tenant.name]

    def shape(self) -> object:
        """What must be the same in the end, however one got there."""
        return (
            sorted((view.key, view.replica.draining, view.replica.tenant) for view in self.api.replicas.values()),
            {
                key: (
                    [(one.type, one.status, one.reason, one.observed_generation) for one in view.status.conditions],
                    view.status.replicas_ready,
                    view.status.replicas_desired,
                    view.status.url,
                )
                for key, view in self.api.tenants.items()
            },
            {key: view.endpoints for key, view in self.api.slices.items()},
            sorted(self.api.services),
            {name: view.node.cordoned for name, view in self.api.nodes.items()},
        )
