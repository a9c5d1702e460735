"""Keeps stragglers apart: what launches took goes to the monitor, its decisions to the scheduler."""

from __future__ import annotations

from treadle_agent.executor.statistics import Document
from treadle_agent.policy.scheduling import Launch, Scheduler
from treadle_agent.policy.stragglers import Stragglers
from treadle_agent.policy.stretch import Stretches


class Isolation:
    """One device's."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._stretches = Stretches()
        self._stragglers = Stragglers()

    def launched(self, launch: Launch, seconds: float) -> None:
        """Learn what a launch took; call before the scheduler learns it."""
        group, executable = launch.group, launch.group.executable
        share = executable.shares[launch.end] - executable.shares[launch.begin]
        stretch = self._stretches.observe(executable, len(group.streams), share, seconds)
        if stretch is None:
            return
        tenants, kernels = [stream.tenant.id for stream in group.streams], executable.cost.correction
        for tenant, company in self._stragglers.observe(tenants, stretch, kernels):
            self._scheduler.keep_apart(self._scheduler.tenants[tenant], company)

    def forget(self, tenant: int) -> None:
        """A tenant is gone; so may be what ran it."""
        self._stragglers.forget(tenant)
        self.prune()

    def prune(self) -> None:
        """Forget what runs for nobody any more."""
        served = self._scheduler.tenants.values()
        self._stretches.forget(
            {one for left in served for tier in left.tiers for holder in tier.buckets.values() for one in holder}
        )

    def report(self, document: Document) -> None:
        """Write the findings into a document that has all tenants."""
        document.stretch = self._stragglers.device_stretch
        document.straggling = self._stragglers.device_straggling
        for key, entry in document.tenants.items():
            entry.stretch = self._stragglers.stretch(key)
            entry.straggling = self._stragglers.straggling(key)
