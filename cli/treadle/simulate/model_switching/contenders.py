"""Who is compared: each policy with its queues, made anew for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from treadle.simulate.model_switching.comparators import SlackBuckets
from treadle.simulate.model_switching.engine import Dispatcher, Plant
from treadle.simulate.model_switching.placement import Placement
from treadle.simulate.model_switching.queueing import Queueing, make_tenant
from treadle.simulate.model_switching.report import (
    ALGORITHM1,
    PLACEMENT,
    SHEDDING,
    SINGLE,
    SLACK_BUCKETS,
    STICKY,
)
from treadle.simulate.model_switching.tails import UTILISATIONS, tail_curve
from treadle.simulate.model_switching.tiers import SimulatedTier
from treadle_agent.policy.algorithm1 import Algorithm1
from treadle_agent.policy.arrivals import EVENTS, EventWindow
from treadle_agent.policy.queues import Switching

Make = Callable[[], Dispatcher]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`deadline` in seconds; true service time over the profile's; seconds in which a server changes tier."""

    deadline: float
    profile_error: float = 1.0
    switch_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Device:
    """The tiers and the number of servers; what the policies are told is its `profile`."""

    tiers: Sequence[SimulatedTier]
    servers: int

    @property
    def accuracies(self) -> list[float]:
        """Percent by tier."""
        return [tier.accuracy for tier in self.tiers]

    @property
    def profile(self) -> list[float]:
        """Seconds of a request by tier."""
        return [self.servers / tier.saturation for tier in self.tiers]

    def plant(self, scenario: Scenario) -> Plant:
        """What truly happens in a scenario."""
        services = tuple(seconds * scenario.profile_error for seconds in self.profile)
        return Plant(self.servers, services, scenario.switch_cost)


def contenders(device: Device, scenario: Scenario) -> Mapping[str, Make]:
    """All policies by name, each tier alone first."""
    return dict(_contenders(device, scenario))


def _contenders(device: Device, scenario: Scenario) -> Iterator[tuple[str, Make]]:
    deadline, profile, servers = scenario.deadline, device.profile, device.servers

    def queueing(*, pinned: int = -1, switching: Switching | None = None, sheds: bool, load: float = 0.0) -> Dispatcher:
        tenant = make_tenant(0, deadline, profile, servers, pinned=pinned, switching=switching)
        return Queueing(tenant, servers, sheds=sheds, load=load)

    for prefix, sheds in ((SINGLE, False), (SHEDDING, True)):
        for index, tier in enumerate(device.tiers):
            yield f"{prefix}{tier.name}", lambda index=index, sheds=sheds: queueing(pinned=index, sheds=sheds)  # type: ignore[misc]
    yield ALGORITHM1, lambda: _algorithm1(device, deadline, EVENTS, UTILISATIONS)
    yield SLACK_BUCKETS, lambda: queueing(switching=SlackBuckets(), sheds=True)
    yield PLACEMENT, lambda: Placement(device.accuracies, profile, servers)
    yield STICKY, lambda: queueing(sheds=True, load=scenario.switch_cost)


def variants(device: Device, scenario: Scenario) -> Mapping[str, Make]:
    """Algorithm 1 with what the paper leaves open chosen otherwise: how much the comparison depends on it."""
    windows = {
        f"{ALGORITHM1}:events={events}": (
            lambda events=events: _algorithm1(device, scenario.deadline, events, UTILISATIONS)
        )
        for events in (20, 80, 160)
    }
    further = (*UTILISATIONS, 0.97, 0.99)
    return windows | {f"{ALGORITHM1}:profile=99%": lambda: _algorithm1(device, scenario.deadline, EVENTS, further)}


def _algorithm1(device: Device, deadline: float, events: int, utilisations: Sequence[float]) -> Dispatcher:
    curves = [tail_curve(seconds, device.servers, utilisations) for seconds in device.profile]
    tenant = make_tenant(0, deadline, device.profile, device.servers, switching=Algorithm1(curves))
    tenant.arrivals = EventWindow(events)
    return Queueing(tenant, device.servers, sheds=False)
