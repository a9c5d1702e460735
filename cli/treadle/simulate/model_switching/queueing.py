"""The production queue and policies on simulated servers."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.simulate.model_switching.engine import Asked, Dispatch
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Switching, Tenant, Tier, relax
from treadle_agent.policy.residency import wanted_tier
from treadle_agent.policy.switching import choose_tier

_RELAX_EVERY = 1.0  # seconds, as the executor does
_UNBOUNDED = 1 << 60


def make_tenant(
    number: int,
    deadline: float,
    profile: Sequence[float],
    servers: int,
    *,
    pinned: int = -1,
    switching: Switching | None = None,
) -> Tenant:
    """A tenant as the executor keeps one, with `profile` seconds a request by tier."""
    tiers = []
    for index, seconds in enumerate(profile):
        tier = Tier(str(index), seconds, servers)
        tier.buckets[0] = [Executable(str(index), 1, (0.0, 1.0), mergeable=False, cost=CostModel.line(seconds, 0.0))]
        tiers.append(tier)
    return Tenant(number, deadline, _UNBOUNDED, tiers, pinned, switching)


class Queueing:
    """One tenant whose requests wait for any of the servers.

    `sheds`: requests that can no longer be in time are dropped before they cost anything. `load`: seconds that a server
    needs to change tier, where the tenant's policy is to know of it; then each server holds one tier.
    """

    def __init__(self, tenant: Tenant, servers: int, *, sheds: bool, load: float = 0.0) -> None:
        self._tenant = tenant
        self._sheds = sheds
        self._load = load
        self._resident = [0] * servers
        self._expected_end = [0.0] * servers
        self._relax_at = 0.0
        self._loads = 0

    @property
    def switches(self) -> int:
        """See `Dispatcher`."""
        return self._loads or self._tenant.ups + self._tenant.downs

    def arrive(self, request: Asked) -> None:
        """See `Dispatcher`."""
        self._tenant.push(request)

    def dispatch(self, free: Sequence[int], now: float) -> Dispatch | None:
        """See `Dispatcher`."""
        tenant = self._tenant
        if now >= self._relax_at:
            self._relax_at = now + _RELAX_EVERY
            relax([tenant])
        if self._sheds:
            tenant.take_doomed(now)
        if not tenant:
            return None
        server, backlog = free[-1], self._running(now)
        if self._load:
            server = max(free, key=self._resident.__getitem__)
            wanted = wanted_tier(tenant, self._resident[server], self._load, now, backlog)
            if wanted != self._resident[server]:
                return self._bring_in(server, wanted, now)
            server = min(free, key=self._resident.__getitem__)
            self._tell_residency(self._resident[server])
        tier = choose_tier(tenant, tenant.head, now, backlog)
        tenant.switch(tier)
        self._expected_end[server] = now + tenant.tiers[tier].service
        request = tenant.pop()
        assert isinstance(request, Asked)
        return Dispatch(server, request, tier)

    def finished(self, request: Asked, tier: int, seconds: float) -> None:  # noqa: ARG002 - a Dispatcher
        """See `Dispatcher`."""
        answered = self._tenant.tiers[tier]
        answered.buckets[0][0].cost.observe(1, 1.0, seconds)
        answered.observe(1, seconds / answered.servers)

    def _running(self, now: float) -> float:
        """Seconds of all servers that running requests will still take, as far as a policy can know."""
        return sum(end - now for end in self._expected_end if end > now) / len(self._expected_end)

    def _bring_in(self, server: int, tier: int, now: float) -> Dispatch:
        self._tenant.loaded_at = now
        self._loads += 1
        self._resident[server] = tier
        self._expected_end[server] = now + self._load
        return Dispatch(server, None, tier)

    def _tell_residency(self, resident: int) -> None:
        self._tenant.current = resident
        for index, tier in enumerate(self._tenant.tiers):
            tier.load = 0.0 if index == resident else self._load
