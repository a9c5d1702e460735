"""One tenant while a plan is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from treadle_api.tenant import Tenant
from treadle_api.units import PerSecond
from treadle_operator.policy.devices import Leave
from treadle_operator.policy.observation import TenantState
from treadle_operator.policy.plan import Note, Placement, Verdict
from treadle_operator.policy.scaling import Target
from treadle_operator.snapshot import ReplicaView


@dataclass(slots=True)
class Case:
    """What is known and decided of one tenant.

    `rate`: each replica's share of the load. `short`: devices that have too little time left for that. `placements`:
    what is decided so far, by place, in the order of the decisions. `forced`: replicas that must leave their devices,
    oldest first. `stuck`: why one of them should, that has nowhere to go. `given_up`: why replicas go that nothing
    replaces, by place. `retry_at`: when another device is tried, after some could not load it. `straggling`: what is
    done about that.
    """

    state: TenantState
    target: Target
    rate: PerSecond
    placements: dict[str, Placement] = field(default_factory=dict)
    forced: list[tuple[ReplicaView, Leave]] = field(default_factory=list)
    verdict: Verdict | None = None
    short: set[str] = field(default_factory=set)
    given_up: dict[str, Note] = field(default_factory=dict)
    stuck: str = ""
    retry_at: float | None = None
    straggling: Note | None = None
    tenant: Tenant = field(init=False)

    def __post_init__(self) -> None:
        self.tenant = self.state.view.tenant

    @property
    def unsettled(self) -> set[str]:
        """Places that it must leave."""
        return {view.place for view, _ in self.forced}

    @property
    def spare(self) -> int:
        """Replicas above the tenant's floor, which a more important tenant may have."""
        return len(self.placements) - self.tenant.replicas.minimum

    @property
    def taken(self) -> set[str]:
        """Places of its present and planned replicas, where another one cannot go."""
        return self.placements.keys() | {view.place for view in self.state.current}

    @property
    def busy(self) -> set[str]:
        """Places that a replica of its own has still to leave."""
        return {view.place for view in self.state.leaving}
