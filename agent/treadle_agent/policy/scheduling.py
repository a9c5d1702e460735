"""What the device does next: one decision a step, the same object in production, under a fake clock, in simulation.

`SpaceTime` is the way to share a device that this project exists for: earliest slack first; kernels of different
tenants that share an executable merge into one launch, and aligned streams run several kernels at once, bounded by a
quantum. `policy.comparators` has the other ways (Jain et al. 2018, §2) under the same interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from treadle_agent.policy.latency import Executable
from treadle_agent.policy.pace import Pace
from treadle_agent.policy.queues import FOREVER, Request, Tenant, relax
from treadle_agent.policy.switching import choose_tier

PADDING_LIMIT = 0.25  # share of a super-kernel's rows that may be padding (DESIGN §4)


@dataclass(slots=True, eq=False)
class Stream:
    """A batch of one tier's requests on its way through an executable: one problem of each super-kernel it is in."""

    tenant: Tenant
    tier: int
    requests: tuple[Request, ...]
    executable: Executable
    rows: int
    deadline: float


@dataclass(slots=True, eq=False)
class Group:
    """Streams at the same kernel of the same executable; `seconds` of the device they have had."""

    executable: Executable
    streams: list[Stream]
    begin: int
    deadline: float
    seconds: float = 0.0
    started: float = 0.0  # when it came to the device
    place: Any = field(default=None, repr=False)  # the device's own; None until their inputs are on the device

    def slack(self, now: float) -> float:
        """Seconds that the most urgent stream can still wait."""
        return self.deadline - now - self.executable.remaining(self.begin, len(self.streams))


@dataclass(frozen=True, slots=True)
class Launch:
    """Run kernels begin..end of a group's streams as one; a group whose `place` is None first takes its inputs."""

    group: Group
    begin: int
    end: int


class Scheduler(ABC):
    """Tenants, their waiting requests and the streams on the device.

    A shell calls `submit` as requests arrive, `shed` and `step` in turn, and `launched` with what a launch took.
    """

    def __init__(self, *, max_problems: int) -> None:
        self.max_problems = max_problems
        self.tenants: dict[int, Tenant] = {}
        self.groups: list[Group] = []
        self._relax_at = 0.0
        self._pace = Pace()
        self.holding = False  # finish what is on the device, begin nothing new
        self._waiting: dict[int, Tenant] = {}  # tenants with requests, in order of their first waiting request

    def add(self, tenant: Tenant) -> None:
        """Start to serve a tenant."""
        self.tenants[tenant.id] = tenant

    def remove(self, tenant: Tenant) -> None:
        """Stop to serve a tenant whose queue is empty and that has no stream."""
        assert not len(tenant)
        assert not self.on_device(tenant)
        del self.tenants[tenant.id]

    def on_device(self, tenant: Tenant) -> int:
        """Streams of a tenant on the device."""
        return sum(stream.tenant is tenant for group in self.groups for stream in group.streams)

    def submit(self, tenant: Tenant, request: Request) -> bool:
        """Queue a request; False when the tenant's queue is full."""
        if not tenant.push(request):
            return False
        self._waiting[tenant.id] = tenant
        return True

    def cancel(self, tenant: Tenant, request: int) -> Request | None:
        """Take out a request that waits; None when it is on the device or answered."""
        cancelled = tenant.remove(request)
        if not tenant:
            self._waiting.pop(tenant.id, None)
        return cancelled

    def shed(self, now: float) -> list[tuple[Tenant, Request]]:
        """Take out the requests that cannot meet their deadline any more, before they cost a launch."""
        if now >= self._relax_at:
            self._relax_at = now + 1.0
            relax(self.tenants.values())
        self._pace.update(self.tenants.values(), now)
        doomed = [(tenant, request) for tenant in self._waiting.values() for request in tenant.take_doomed(now)]
        if doomed:
            self._waiting = {key: tenant for key, tenant in self._waiting.items() if tenant}
        return doomed

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on the device."""
        return not self._waiting and not self.groups

    def solo(self, tenant: Tenant, request: Request, now: float) -> Launch | None:
        """Run one request, which was not submitted, from begin to end with nothing beside it; None where it cannot."""
        assert not self.groups
        tier = choose_tier(tenant, request, now, 0.0)
        executable = tenant.tiers[tier].bucket(request.binding, request.rows, request.rows)
        if executable is None:
            return None
        executable.running += 1
        stream = Stream(tenant, tier, (request,), executable, request.rows, request.deadline)
        return Launch(self._group([stream]), 0, executable.length)

    @abstractmethod
    def step(self, now: float) -> Launch | None:
        """The next launch; None when there is nothing to do until the next event."""

    def launched(self, launch: Launch, seconds: float) -> bool:
        """Learn what a launch took; True when its streams have finished and left the device."""
        group, executable = launch.group, launch.group.executable
        problems = len(group.streams)
        share = executable.shares[launch.end] - executable.shares[launch.begin]
        executable.cost.observe(problems, share, seconds)
        group.begin = launch.end
        group.seconds += seconds
        if launch.end < executable.length:
            return False
        for stream in group.streams:
            tier = stream.tenant.tiers[stream.tier]
            tier.observe(stream.rows, group.seconds / problems)
            stream.tenant.used += group.seconds / problems
        self.evict(group)
        return True

    def evict(self, group: Group) -> None:
        """Take a group off the device without a result."""
        self.groups.remove(group)
        group.executable.running -= len(group.streams)

    def _candidates(self) -> list[Tenant]:
        """Tenants whose requests may begin now."""
        return [] if self.holding else list(self._waiting.values())

    def _backlog(self) -> float:
        """Device seconds of all accepted work: streams on the device and every queue at its tenant's current tier."""
        running = sum(group.executable.remaining(group.begin, len(group.streams)) for group in self.groups)
        return running + sum(tenant.backlog for tenant in self._waiting.values())

    def _choose(self, tenant: Tenant, now: float, backlog: float) -> int:
        """The tier for the tenant's head, with `backlog` seconds of accepted work on the device."""
        return choose_tier(tenant, tenant.head, now, max(0.0, backlog - tenant.backlog))

    def _bucket(self, tenant: Tenant, tier: int, now: float) -> Executable | None:
        """For the tenant's waiting requests: the one of as many rows at once as the first one's slack allows."""
        head = tenant.head
        return tenant.tiers[tier].bucket(head.binding, tenant.rows, head.rows, head.deadline - now)

    def _begin(self, tenant: Tenant, tier: int, executable: Executable) -> Stream:
        """Bind what fits one problem of `executable` from the head of the tenant's queue to it."""
        if tenant.head.tier < 0:  # a tier that the client asked for says nothing about the load
            tenant.switch(tier)
        requests = tenant.take(executable.rows)
        if not tenant:
            del self._waiting[tenant.id]
        executable.running += 1
        rows = sum(request.rows for request in requests)
        return Stream(tenant, tier, requests, executable, rows, min(request.deadline for request in requests))

    def _to_the_end_of_the_line(self, tenant: Tenant) -> None:
        if tenant:
            self._waiting[tenant.id] = self._waiting.pop(tenant.id)

    def _group(self, streams: list[Stream]) -> Group:
        group = Group(streams[0].executable, streams, 0, min(stream.deadline for stream in streams))
        self.groups.append(group)
        return group


class SpaceTime(Scheduler):
    """Earliest slack first, merged across tenants, in runs of kernels bounded by a quantum."""

    def __init__(self, *, max_problems: int, quantum: float) -> None:
        super().__init__(max_problems=max_problems)
        self.quantum = quantum

    def step(self, now: float) -> Launch | None:
        """Continue the most urgent group, or begin the most urgent waiting requests with everyone who can join."""
        group = min(self.groups, key=lambda one: one.slack(now), default=None)
        slack = FOREVER if group is None else group.slack(now)
        for head in sorted(self._candidates(), key=_urgency):
            if _urgency(head) - now >= slack:
                break
            if (begun := self._merge(head, now)) is not None:
                group = begun
                break
        if group is None:
            return None
        end = group.executable.run_end(group.begin, len(group.streams), self.quantum)
        return Launch(group, group.begin, end)

    def _merge(self, head: Tenant, now: float) -> Group | None:
        """Begin `head`'s requests and those of other tenants that share the executable; None where there is no room."""
        backlog = self._backlog()
        tier = self._choose(head, now, backlog)
        executable = self._bucket(head, tier, now)
        if executable is None or executable.running >= executable.capacity:
            return None
        streams = [self._begin(head, tier, executable)]
        if not executable.mergeable:
            return self._group(streams)
        deadline = streams[0].deadline
        room = min(self.max_problems, executable.capacity - executable.running + 1)
        padding = executable.rows - streams[0].rows
        for tenant in sorted(self._waiting.values(), key=lambda one: -one.rows):
            if len(streams) >= room or now + executable.cost.expected(len(streams) + 1) > deadline:
                break  # one more would make the most urgent one late
            if tenant is head or not any(one.holds(tenant.head.binding, executable) for one in tenant.tiers):
                continue
            padded = padding + max(0, executable.rows - tenant.rows)
            if padded > PADDING_LIMIT * executable.rows * (len(streams) + 1):
                break  # the others have fewer rows still
            tier = self._choose(tenant, now, backlog)
            if tenant.head.rows > executable.rows or not tenant.tiers[tier].holds(tenant.head.binding, executable):
                continue
            streams.append(self._begin(tenant, tier, executable))
            padding += executable.rows - streams[-1].rows
        return self._group(streams)


def _urgency(tenant: Tenant) -> float:
    """When the tenant's head must be begun at the latest, at its fastest tier."""
    return tenant.head.deadline - tenant.fastest()
