"""What a plan says, and what it remembers from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from treadle_api.node import CordonedDevice
from treadle_operator.snapshot import Cause
from treadle_operator.tenant_status import CounterOffer, TenantStatus


class Reason(StrEnum):
    """Why a tenant is admitted or not; reasons of condition `Admitted`."""

    PLACED = "Placed"
    NOWHERE_TO_MOVE = "NowhereToMove"  # admitted, and to leave a device, but no other has room
    NO_NODE_MATCHES = "NoNodeMatches"
    DEADLINE_INFEASIBLE = "DeadlineInfeasible"
    ACCURACY_INFEASIBLE = "AccuracyInfeasible"
    INSUFFICIENT_MEMORY = "InsufficientMemory"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a tenant is admitted.

    `reason` is one of `Reason`, or what an agent gave for not loading its models (`ModelNotFound`, `DigestMismatch` …).
    """

    admitted: bool
    reason: str
    message: str
    counter_offer: CounterOffer | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """A tenant should be served by this device.

    `cause` is why it was put there. `waits_for` says what must leave the device before it fits; "" when it fits.
    `replaces`: NODE/DEVICE that it takes over from, "" when it is one more. `message`: the reason, for a person.
    """

    node: str
    device: str
    cause: Cause
    waits_for: str = ""
    replaces: str = ""
    message: str = ""

    @property
    def place(self) -> str:
        """``NODE/DEVICE``."""
        return f"{self.node}/{self.device}"


@dataclass(frozen=True, slots=True)
class Note:
    """What is done, and why: one CamelCase word, and words for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """Where one tenant should be, and what is to be told of it.

    `placements`: kept ones first. `given_up`: why replicas go that nothing replaces, by ``NODE/DEVICE``.
    """

    verdict: Verdict
    placements: tuple[Placement, ...]
    given_up: Mapping[str, Note]
    status: TenantStatus


@dataclass(frozen=True, slots=True)
class LowLoad:
    """Since when a tenant's load has been low for this many replicas."""

    since: float
    replicas: int


@dataclass(frozen=True, slots=True)
class Held:
    """Since when a new status has been held back, and the uid of the tenant's newest replica then; "" without one."""

    since: float
    replica: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What a plan passes on to the next: timers only. Without them, after a restart, things happen later, not else.

    By tenant key: low load, the new status that is held back, when figures were written last, since when no request was
    seen. By ``NODE/DEVICE``: since when it has been slow. By replica's uid: since when it has drained. Times are
    seconds since the epoch.
    """

    low: Mapping[str, LowLoad] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    written: Mapping[str, float] = field(default_factory=dict)
    idle_since: Mapping[str, float] = field(default_factory=dict)
    slow_since: Mapping[str, float] = field(default_factory=dict)
    draining_since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceForecast:
    """What a device will have to carry: predicted utilisation with all tenants at their best and at their cheapest
    tiers, and the bytes of their models.
    """

    best: float
    floor: float
    memory: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The state to bring about.

    `tenants` by `Tenant.key`, without those being deleted. `cordons`: by node, the operator's own entries, for nodes
    where they are to change. `devices`: by ``NODE/DEVICE``. `memory` goes into the next plan. `wake`: when to plan
    again although nothing has changed; None: never.
    """

    tenants: Mapping[str, TenantPlan]
    cordons: Mapping[str, tuple[CordonedDevice, ...]]
    devices: Mapping[str, DeviceForecast]
    memory: Memory
    wake: float | None
