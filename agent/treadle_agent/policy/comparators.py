"""The other ways to share a device (Jain et al. 2018, §2), in the same executor, to be compared side by side.

- `Exclusive`: one tenant's requests batched, whole models, one tenant after another.
- `TimeSliced`: requests of all tenants interleaved kernel by kernel, never merged.
- `Spatial`: one request of each tenant at a time, concurrently, never merged.
"""

from __future__ import annotations

from collections import deque

from treadle_agent.policy.scheduling import Group, Launch, Scheduler


class Exclusive(Scheduler):
    """One tenant at a time, its requests batched, its model run whole; tenants take turns."""

    def step(self, now: float) -> Launch | None:
        """The next tenant's batch."""
        for tenant in self._candidates():
            tier = self._choose(tenant, now)
            executable = self._bucket(tenant, tier, now)
            if executable is None:
                continue
            group = self._group([self._begin(tenant, tier, executable)])
            self._to_the_end_of_the_line(tenant)
            return Launch(group, 0, executable.length)
        return None


class TimeSliced(Scheduler):
    """Every request its own stream; streams take turns, one kernel each."""

    def __init__(self, *, max_problems: int) -> None:
        super().__init__(max_problems=max_problems)
        self._turns: deque[Group] = deque()

    def step(self, now: float) -> Launch | None:
        """One kernel of the next stream in turn; new requests join the line."""
        line = deque(self._candidates())
        while line and len(self._turns) < self.max_problems:
            tenant = line.popleft()
            tier = self._choose(tenant, now)
            executable = tenant.tiers[tier].bucket(tenant.head.binding, tenant.head.rows, tenant.head.rows)
            if executable is None or executable.running >= executable.capacity:
                continue
            self._turns.append(self._group([self._begin(tenant, tier, executable)]))
            self._to_the_end_of_the_line(tenant)
            if tenant:
                line.append(tenant)
        if not self._turns:
            return None
        group = self._turns.popleft()
        return Launch(group, group.begin, group.begin + 1)

    def launched(self, launch: Launch, seconds: float) -> bool:
        """Back to the end of the line, unless finished."""
        finished = super().launched(launch, seconds)
        if not finished:
            self._turns.append(launch.group)
        return finished

    def evict(self, group: Group) -> None:
        """Also out of the line."""
        super().evict(group)
        if group in self._turns:
            self._turns.remove(group)


class Spatial(Scheduler):
    """One request of each tenant on the device at a time, each on a thread or stream of its own."""

    def step(self, now: float) -> Launch | None:
        """The whole model for the next tenant that has nothing on the device."""
        busy = {stream.tenant.id for group in self.groups for stream in group.streams}
        for tenant in self._candidates():
            if tenant.id in busy:
                continue
            tier = self._choose(tenant, now)
            executable = tenant.tiers[tier].bucket(tenant.head.binding, tenant.head.rows, tenant.head.rows)
            if executable is None or executable.running >= executable.capacity:
                continue
            group = self._group([self._begin(tenant, tier, executable)])
            self._to_the_end_of_the_line(tenant)
            return Launch(group, 0, executable.length)
        return None
