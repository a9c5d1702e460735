"""The part of the device that a tenant's waiting requests can count on.

What is due earlier is begun earlier: a tenant of a long deadline waits not only for what is there, but also for what
the tenants of shorter deadlines will bring meanwhile. Without this it would choose an accurate tier for a backlog that
looks short, and starve.
"""

from __future__ import annotations

from collections.abc import Iterable

from treadle_agent.policy.queues import Tenant

EVERY = 0.1  # seconds between two measurements of what tenants take of the device
GAIN = 0.3  # weight of one measurement


class Pace:
    """Measures what all tenants of a device take of it."""

    def __init__(self) -> None:
        self._since = 0.0

    def update(self, tenants: Iterable[Tenant], now: float) -> None:
        """Set every tenant's `pace`, from the device time that all `used`; does nothing until it is time again."""
        elapsed = now - self._since
        if elapsed < EVERY:
            return
        self._since = now
        ordered = sorted(tenants, key=_deadline)
        for tenant in ordered:
            tenant.share += GAIN * (min(tenant.used / elapsed, 1.0) - tenant.share)
            tenant.used = 0.0
        earlier, equal, deadline = 0.0, 0.0, 0.0
        for tenant in ordered:
            if tenant.deadline > deadline:
                earlier, equal, deadline = earlier + equal, 0.0, tenant.deadline
            equal += tenant.share
            tenant.pace = max(1.0 - earlier, 1.0 / len(ordered))


def _deadline(tenant: Tenant) -> float:
    return tenant.deadline
