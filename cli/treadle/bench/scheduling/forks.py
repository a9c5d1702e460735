"""Does a delay cost a promise? At a delay the world is stopped, and played to its end from there, with and without."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from treadle.bench.scheduling.play import ROUNDING, play
from treadle_agent.policy.queues import FOREVER, Tenant
from treadle_agent.policy.scheduling import Scheduler, SpaceTime


@dataclass(slots=True)
class Forks:
    """Watches delays (`play`); looks at one of `every`. `broken`: requests that a delay made late."""

    tenants: Sequence[Tenant]
    every: int
    seen: int = 0
    looked: int = 0
    known: int = 0  # requests that were waiting at those looked at
    broken: list[int] = field(default_factory=list)

    def __call__(self, scheduler: Scheduler, now: float) -> None:
        """A launch is held back at `now`."""
        self.seen += 1
        if self.seen % self.every:
            return
        self.looked += 1
        met = [self._outcome(scheduler, now, delays=delays) for delays in (True, False)]
        alone = earliest_deadline_first(self.tenants, now)
        self.known += sum(len(tenant) for tenant in self.tenants)
        self.broken += sorted((met[1] | alone) - met[0])

    def _outcome(self, scheduler: Scheduler, now: float, *, delays: bool) -> set[int]:
        """The requests, of those known now, that are answered in time if no other ever comes."""
        copied, tenants = deepcopy((scheduler, self.tenants))
        assert isinstance(copied, SpaceTime)
        copied.delays = delays
        return play(copied, tenants, [], now=now).met


def earliest_deadline_first(tenants: Sequence[Tenant], now: float) -> set[int]:
    """What one request after another meets, each at its fastest tier, those that cannot be met being left out."""
    met = set()
    waiting = [(request, tenant) for tenant in tenants for request in tenant]
    for request, tenant in sorted(waiting, key=lambda pair: pair[0].deadline):
        buckets = [tier.bucket(request.binding, request.rows, request.rows) for tier in tenant.tiers]
        seconds = min((one.cost.expected(1) for one in buckets if one is not None), default=FOREVER)
        if now + seconds <= request.deadline + ROUNDING:
            now += seconds
            met.add(request.request)
    return met
