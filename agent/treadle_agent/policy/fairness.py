"""Each tenant's share of the device: by weight, while several want it; what nobody wants is for all.

A virtual clock runs the slower the more weight competes (as in weighted fair queueing: Demers, Keshav, Shenker 1989);
each tenant's own clock is pushed on by the device time it has had. Whoever's clock is ahead of the virtual one has had
more than its share. A tenant that was quiet may first use what its share of one deadline is: bursts are no flood.
"""

from __future__ import annotations


class FairShares:
    """Who has had more than its share."""

    __slots__ = ("_charged", "_now", "_virtual", "_weight", "_weights")

    def __init__(self) -> None:
        self._virtual = 0.0
        self._now = 0.0
        self._weight = 0.0  # of all that compete
        self._weights: dict[int, float] = {}
        self._charged: dict[int, float] = {}

    def advance(self, now: float) -> None:
        """Time has passed; `now` in seconds."""
        if self._weight > 0.0 and now > self._now:
            self._virtual += (now - self._now) / self._weight
        self._now = max(now, self._now)

    def join(self, tenant: int, weight: float, burst: float) -> None:
        """A tenant has begun to wait. `burst`: seconds, its deadline: the share of so long it may use at once."""
        if tenant in self._weights:
            return
        self._weights[tenant] = weight
        self._weight += weight
        credit = burst / self._weight
        self._charged[tenant] = max(self._charged.get(tenant, -credit), self._virtual - credit)

    def leave(self, tenant: int) -> None:
        """A tenant neither waits nor runs; what it has had is remembered."""
        weight = self._weights.pop(tenant, None)
        if weight is not None:
            self._weight = self._weight - weight if self._weights else 0.0

    def forget(self, tenant: int) -> None:
        """A tenant is gone."""
        self.leave(tenant)
        self._charged.pop(tenant, None)

    def charge(self, tenant: int, weight: float, seconds: float) -> None:
        """A tenant has had `seconds` of the device."""
        self._charged[tenant] = self._charged.get(tenant, self._virtual) + seconds / weight

    def exceeded(self, tenant: int) -> bool:
        """Whether a tenant has had more than its share."""
        return self._charged.get(tenant, self._virtual) > self._virtual
