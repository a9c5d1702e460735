"""Two more ways to share a device, which no executor here offers: yardsticks."""

from __future__ import annotations

from treadle_agent.policy.queues import Tenant
from treadle_agent.policy.scheduling import Launch, Scheduler

BATCH_DELAY = 0.1  # share of the deadline that a batch may wait to fill


class EarliestDeadline(Scheduler):
    """The request with the earliest deadline, its whole model, at once and alone: no batch, no merging, no delay."""

    def step(self, now: float) -> Launch | None:  # noqa: ARG002 - a Scheduler
        """The most urgent request."""
        if self.groups:
            return None
        tenant = min(self._candidates(), key=lambda one: one.head.deadline, default=None)
        if tenant is None:
            return None
        executable = tenant.tiers[0].bucket(tenant.head.binding, tenant.head.rows, tenant.head.rows)
        assert executable is not None
        return Launch(self._group([self._begin(tenant, 0, executable)]), 0, executable.length)


class DynamicBatching(Scheduler):
    """A batcher a tenant, as model servers have it: a batch goes when it is full, or when its first request has waited
    for a share of its deadline; of the batches that may go, the one whose first request came first.
    """

    def step(self, now: float) -> Launch | None:
        """The oldest batch that may go."""
        if self.groups:
            return None
        due = [tenant for tenant in self._candidates() if self._may_go(tenant, now)]
        tenant = min(due, key=lambda one: one.head.arrival, default=None)
        if tenant is None:
            return None
        executable = self._bucket(tenant, 0, now)
        assert executable is not None
        return Launch(self._group([self._begin(tenant, 0, executable)]), 0, executable.length)

    def _may_go(self, tenant: Tenant, now: float) -> bool:
        full = tenant.rows >= tenant.tiers[0].buckets[tenant.head.binding][-1].rows
        return full or now >= tenant.head.arrival + BATCH_DELAY * tenant.deadline
