"""The part of the device that a tenant's waiting requests can count on.

What is due earlier is begun earlier: a tenant of a long deadline waits not only for what is there, but also for what
the tenants of shorter deadlines will bring meanwhile. And what waits drains no faster than launches follow one another:
on a host that is short of processors a second with work throughout may hold little more than half a second of kernels.
Without this it would choose an accurate tier for a backlog that looks short, and starve.
"""

from __future__ import annotations

from collections.abc import Iterable

from treadle_agent.policy.queues import Tenant

EVERY = 0.1  # seconds between two measurements of what tenants take of the device
GAIN = 0.3  # weight of one measurement
LEAST = 0.2  # seconds of kernels in a second with work throughout; less is a stall, which says nothing of what follows


class Pace:
    """Measures what all tenants of a device take of it.

    `capacity`: seconds of kernels that a second has lately held when there was work throughout.
    """

    def __init__(self) -> None:
        self.capacity = 1.0
        self._since = 0.0
        self._rested = True

    def update(self, tenants: Iterable[Tenant], now: float, *, idle: bool) -> None:
        """Set every tenant's `pace`, from the device time that all `used`; does nothing until it is time again.

        `idle`: there is nothing to do at the moment.
        """
        self._rested |= idle
        elapsed = now - self._since
        if elapsed < EVERY:
            return
        self._since = now
        ordered = sorted(tenants, key=_deadline)
        if not self._rested:
            held = min(max(sum([tenant.used for tenant in ordered]) / elapsed, LEAST), 1.0)
            self.capacity += GAIN * (held - self.capacity)
        self._rested = idle
        for tenant in ordered:
            tenant.share += GAIN * (min(tenant.used / elapsed, 1.0) - tenant.share)
            tenant.used = 0.0
        earlier, equal, deadline = 0.0, 0.0, 0.0
        for tenant in ordered:
            if tenant.deadline > deadline:
                earlier, equal, deadline = earlier + equal, 0.0, tenant.deadline
            equal += tenant.share
            tenant.pace = max(self.capacity - earlier, self.capacity / len(ordered))


def _deadline(tenant: Tenant) -> float:
    return tenant.deadline
