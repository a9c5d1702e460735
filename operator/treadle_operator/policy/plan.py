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

    `reason` is one of `Reason`, or what an agent gave for not loading its models (`ModelMissing`, `DigestMismatch` …).
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


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """Where one tenant should be, and what is to be told of it. `placements`: kept ones first."""

    verdict: Verdict
    placements: tuple[Placement, ...]
    status: TenantStatus


@dataclass(frozen=True, slots=True)
class Memory:
    """What a plan passes on to the next: timers only. Without them, after a restart, things happen later, not else.

    By tenant key: since when its load has been low, since when a status has been held back, when figures were written
    last. By ``NODE/DEVICE``: since when it has been slow. Seconds since the epoch.
    """

    low_since: Mapping[str, float] = field(default_factory=dict)
    held_since: Mapping[str, float] = field(default_factory=dict)
    written: Mapping[str, float] = field(default_factory=dict)
    slow_since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The state to bring about.

    `tenants` by `Tenant.key`, without those being deleted. `cordons`: by node, the operator's own entries, for nodes
    where they are to change. `memory` goes into the next plan. `wake`: when to plan again although nothing has changed;
    None: never.
    """

    tenants: Mapping[str, TenantPlan]
    cordons: Mapping[str, tuple[CordonedDevice, ...]]
    memory: Memory
    wake: float | None
