"""What the device does next: one decision a step, the same object in production, under a fake clock, in simulation.

`SpaceTime` is the way to share a device that this project exists for: earliest slack first; kernels of different
tenants that share an executable merge into one launch, and aligned streams run several kernels at once, bounded by a
quantum. `policy.comparators` has the other ways (Jain et al. 2018, §2) under the same interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from treadle_agent.policy.attribution import attribute
from treadle_agent.policy.coalescing import Formation, Signature, patience
from treadle_agent.policy.fairness import FairShares
from treadle_agent.policy.latency import Executable
from treadle_agent.policy.pace import Pace
from treadle_agent.policy.queues import FOREVER, Request, Tenant, relax
from treadle_agent.policy.streams import Group, Launch, Stream
from treadle_agent.policy.switching import choose_tier
from treadle_agent.policy.waiting import ALONE, Waiting

__all__ = ["ALONE", "Group", "Launch", "Scheduler", "SpaceTime", "Stream"]


class Scheduler(ABC):
    """Tenants, their waiting requests and the streams on the device.

    A shell calls `submit` as requests arrive, `shed` and `step` in turn, `settle` once the launch that this gave is on
    its way, and `launched` with what it took. `wake_at`: when to look again at the latest, after `step` gave nothing.
    """

    def __init__(self, *, max_problems: int) -> None:
        self.max_problems = max_problems
        self.tenants: dict[int, Tenant] = {}
        self.groups: list[Group] = []
        self.holding = False  # finish what is on the device, begin nothing new
        self.wake_at = FOREVER
        self._relax_at = 0.0
        self._pace = Pace()
        self._shares = FairShares()
        self._noted = Waiting()
        self._begun: list[Stream] = []  # since all was settled
        self._running: dict[int, int] = {}  # streams on the device by tenant
        self._hopeless: list[tuple[Tenant, Request]] = []  # found when they were about to be begun

    @property
    def _waiting(self) -> Waiting:
        """All that waits, as it is now."""
        if self._begun:
            self.settle()
        return self._noted

    def settle(self) -> None:
        """Note what the last launch has taken, while it runs, by the costs that it was decided by.

        At the latest this is done when something is to be decided by it, or has been learnt of the costs.
        """
        for stream in self._begun:
            self._noted.note(stream.tenant)
            stream.alone = _alone(stream)
        self._begun.clear()

    def add(self, tenant: Tenant) -> None:
        """Start to serve a tenant."""
        self.tenants[tenant.id] = tenant
        self._running[tenant.id] = 0

    def remove(self, tenant: Tenant) -> None:
        """Stop to serve a tenant whose queue is empty and that has no stream."""
        assert not len(tenant)
        assert not self.on_device(tenant)
        self._shares.forget(tenant.id)
        del self.tenants[tenant.id], self._running[tenant.id]

    def on_device(self, tenant: Tenant) -> int:
        """Streams of a tenant on the device."""
        return self._running[tenant.id]

    def submit(self, tenant: Tenant, request: Request) -> bool:
        """Queue a request; False when the tenant's queue is full."""
        if not tenant.push(request):
            return False
        self._shares.join(tenant.id, tenant.weight, tenant.deadline)
        self._waiting.arrived(tenant, request)
        return True

    def cancel(self, tenant: Tenant, request: int) -> Request | None:
        """Take out a request that waits; None when it is on the device or answered."""
        cancelled = tenant.remove(request)
        if cancelled is not None:
            self._changed(tenant)
        return cancelled

    def shed(self, now: float) -> list[tuple[Tenant, Request]]:
        """Take out the requests that cannot meet their deadline any more, before they cost a launch."""
        self.settle()
        self._shares.advance(now)
        if now >= self._relax_at:
            self._relax_at = now + 1.0
            relax(self.tenants.values())
            self._waiting.renew()
        self._pace.update(self.tenants.values(), now, idle=self.idle)
        doomed, self._hopeless = self._hopeless, []
        for key in self._waiting.doom.until(now):
            tenant = self.tenants[key]
            doomed += [(tenant, request) for request in tenant.take_doomed(now)]
            self._changed(tenant)
        return doomed

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on the device."""
        return not (self._waiting.tenants or self.groups or self._hopeless)

    def solo(self, tenant: Tenant, request: Request, now: float) -> Launch | None:
        """Run one request, which was not submitted, from begin to end with nothing beside it; None where it cannot."""
        assert not self.groups
        tier = choose_tier(tenant, request, now, 0.0)
        executable = tenant.tiers[tier].bucket(request.binding, request.rows, request.rows)
        if executable is None:
            return None
        executable.running += 1
        self._running[tenant.id] += 1
        stream = Stream(tenant, tier, (request,), executable, request.rows, request.deadline)
        return Launch(self._group([stream]), 0, executable.length)

    @abstractmethod
    def step(self, now: float) -> Launch | None:
        """The next launch; None when there is nothing to do until the next event, or `wake_at`."""

    def launched(self, launch: Launch, seconds: float) -> bool:
        """Learn what a launch took; True when its streams have finished and left the device."""
        self.settle()
        group, executable = launch.group, launch.group.executable
        share = executable.shares[launch.end] - executable.shares[launch.begin]
        executable.cost.observe(len(group.streams), share, seconds)
        group.begin = launch.end
        group.seconds += seconds
        if launch.end < executable.length:
            return False
        self._charge(group)
        for stream in group.streams:
            stream.tenant.tiers[stream.tier].observe(stream.rows, stream.seconds)
        self.evict(group)
        return True

    def failed(self, group: Group, seconds: float) -> None:
        """A launch has failed after some seconds, which are used all the same; the group leaves the device."""
        self.settle()
        group.seconds += seconds
        self._charge(group)
        self.evict(group)

    def _charge(self, group: Group) -> None:
        """Tell what a group took among those in it."""
        parts = attribute(group.seconds, [stream.alone for stream in group.streams])
        for stream, part in zip(group.streams, parts, strict=True):
            tenant = stream.tenant
            stream.seconds = part
            tenant.used += part
            self._shares.charge(tenant.id, tenant.weight, part)

    def evict(self, group: Group) -> None:
        """Take a group off the device without a result."""
        self.groups.remove(group)
        group.executable.running -= len(group.streams)
        for stream in group.streams:
            self._running[stream.tenant.id] -= 1
            self._rest(stream.tenant)

    def keep_apart(self, tenant: Tenant, company: int) -> None:
        """Let a tenant share launches with those of the same company only; ALONE: with nobody; 0: the usual one."""
        tenant.company = company
        self._waiting.renew()

    def _candidates(self) -> list[Tenant]:
        """Tenants whose requests may begin now."""
        return [] if self.holding else list(self._waiting.tenants.values())

    def _backlog(self) -> float:
        """Device seconds of all accepted work: streams on the device and every queue at its tenant's current tier.

        As all was settled last: a decision's choices are made by the same backlog.
        """
        running = sum([group.executable.remaining(group.begin, len(group.streams)) for group in self.groups])
        return running + self._noted.seconds

    def _choose(self, tenant: Tenant, now: float) -> int:
        """The tier for the tenant's head."""
        if len(tenant.tiers) == 1:
            return 0
        backlog = self._backlog()
        return choose_tier(tenant, tenant.head, now, max(0.0, backlog - tenant.backlog))

    def _bucket(self, tenant: Tenant, tier: int, now: float) -> Executable | None:
        """For the tenant's waiting requests: the one of as many rows at once as the first one's slack allows."""
        head = tenant.line[0][3]
        return tenant.tiers[tier].bucket(head.binding, tenant.rows, head.rows, head.deadline - now)

    def _begin(self, tenant: Tenant, tier: int, executable: Executable, finish: float = -FOREVER) -> Stream:
        """Bind what fits one problem of `executable` from the head of the tenant's queue to it.

        `finish`: when they will be answered; who needs it sooner is left.
        """
        head, waited = tenant.line[0][3], tenant.rows
        if tier != tenant.current and head.tier < 0 and not head.forbidden:
            tenant.switch(tier)  # what a client asked for says nothing about the load
        requests = tenant.take(executable.rows, finish)
        executable.running += 1
        self._running[tenant.id] += 1
        deadline = head.deadline
        if head.priority:  # none: they waited in order of their deadlines
            deadline = min([request.deadline for request in requests])
        stream = Stream(tenant, tier, requests, executable, waited - tenant.rows, deadline)
        self._begun.append(stream)
        return stream

    def _to_the_end_of_the_line(self, tenant: Tenant) -> None:
        self._waiting.to_the_end_of_the_line(tenant)

    def _group(self, streams: list[Stream]) -> Group:
        group = Group(streams[0].executable, streams, 0, min([stream.deadline for stream in streams]))
        self.groups.append(group)
        return group

    def _changed(self, tenant: Tenant) -> None:
        """Requests have left a tenant's queue, and not for the device."""
        self._waiting.note(tenant)
        self._rest(tenant)

    def _rest(self, tenant: Tenant) -> None:
        """A tenant that neither waits nor runs does not compete for the device."""
        if not tenant and not self._running[tenant.id]:
            self._shares.leave(tenant.id)


class SpaceTime(Scheduler):
    """Earliest slack first, merged across tenants, in runs of kernels bounded by a quantum.

    `delays`: hold an ill-fitting launch back for more company where that can make nobody late.
    """

    def __init__(self, *, max_problems: int, quantum: float, delays: bool = True) -> None:
        super().__init__(max_problems=max_problems)
        self.quantum = quantum
        self.delays = delays

    def step(self, now: float) -> Launch | None:
        """Continue the most urgent group, or begin the most urgent waiting requests with everyone who can join."""
        self.wake_at = FOREVER
        self.settle()
        self._shares.advance(now)
        group, slack = None, FOREVER
        for one in self.groups:
            its = one.slack(now)
            if its < slack or group is None:
                group, slack = one, its
        for key in () if self.holding else self._order(now, slack):
            if (begun := self._begin_with(self.tenants[key], now)) is not None:
                group = begun
                break
        if group is None:
            return None
        end = group.executable.run_end(group.begin, len(group.streams), self.quantum)
        return Launch(group, group.begin, end)

    def _order(self, now: float, slack: float) -> Iterator[int]:
        """Waiting tenants more urgent than `slack`, the most urgent first, but no flood before others' deadlines.

        Tenants that have had more than their share go first only where all others can wait so long.
        """
        urgent, limit = self._noted.urgent, now + slack
        soonest = urgent.soonest()
        if soonest is None or soonest[0] >= limit:
            return
        _, first = soonest
        if not self._shares.exceeded(first):
            yield first  # mostly that is all that is asked
            yield from (key for _, key in urgent.before(limit) if key != first)
        else:
            yield from self._fair(urgent.before(limit), now, slack)

    def _fair(self, urgent: Sequence[tuple[float, int]], now: float, slack: float) -> Iterable[int]:
        """The order of tenants of whom the first has had more than its share."""
        tenants, exceeded = self.tenants, self._shares.exceeded
        theirs, others, within = 0.0, FOREVER, None
        for moment, key in urgent:
            if not exceeded(key):
                others, within = moment, key
                break
            theirs += tenants[key].backlog
        seconds = tenants[urgent[0][1]].fastest()
        if seconds <= slack and now + seconds + (self._backlog() - theirs) <= others:
            return (key for _, key in urgent)
        if within is None:
            return () if self.groups else (key for _, key in urgent)
        return chain((key for _, key in urgent if not exceeded(key)), (key for _, key in urgent if exceeded(key)))

    def _begin_with(self, head: Tenant, now: float) -> Group | None:
        """Begin `head`'s requests, and those of other tenants that can join.

        None where there is no room, where the launch is better held back, and where the head proves hopeless.
        """
        asked, tier = head.line[0][3], self._choose(head, now)
        executable = self._bucket(head, tier, now)
        if executable is not None and now + executable.cost.expected(1) > asked.deadline:
            tier, executable = _quickest(head)
            if executable is not None and now + executable.cost.expected(1) > asked.deadline:
                self._give_up(head, now)
                return None
        if executable is None or executable.running >= executable.capacity:
            return None
        signature = None
        if head.company != ALONE:
            signature = self._noted.signature(head.tiers[tier].buckets[asked.binding])
        if signature is not None:
            until = self._held(signature, executable, now)
            if until > now:
                self.wake_at = min(self.wake_at, until)
                return None
            signature.held_since = None
        formation = Formation(executable, min(self.max_problems, executable.capacity - executable.running), now)
        streams = [self._begin(head, tier, executable, formation.finish)]
        formation.take(streams[0].rows, streams[0].deadline)
        if signature is not None:
            self._coalesce(signature, head, formation, streams)
        group = Group(executable, streams, 0, formation.deadline)
        self.groups.append(group)
        return group

    def _coalesce(self, signature: Signature, head: Tenant, formation: Formation, streams: list[Stream]) -> None:
        """Take what fits of other tenants' requests into a launch."""
        executable = formation.executable
        for tenant in self._noted.company(signature, head, formation.room):  # as it was before `head` was begun
            if formation.full:
                return
            asked = tenant.line[0][3]
            if not formation.admits(asked, tenant.rows):
                continue
            tier = self._choose(tenant, formation.now)
            if tenant.tiers[tier].holds(asked.binding, executable):
                stream = self._begin(tenant, tier, executable, formation.finish)
                formation.take(stream.rows, stream.deadline)
                streams.append(stream)

    def _held(self, signature: Signature, executable: Executable, now: float) -> float:
        """Until when to hold a launch back; `now` or before: not at all.

        At most until all that waits could still run in any order, one by one at the slowest tiers, before the first
        request is too late. No choice made by then, this one included, can make a known request late.
        """
        if self.groups or not self.delays:
            return now
        latest = self._noted.doom.first - self._noted.serial_seconds
        if latest <= now or len(signature.waiting) >= min(len(signature.known), self.max_problems):
            return now
        seconds = patience(executable, signature.arrivals.rate())
        if seconds <= 0.0:
            return now
        if signature.held_since is None:
            signature.held_since = now
        return min(signature.held_since + seconds, latest)

    def _give_up(self, tenant: Tenant, now: float) -> None:
        """The tenant's head cannot be answered in time: the next `shed` gives it."""
        self._hopeless.append((tenant, tenant.pop()))
        self._changed(tenant)
        self.wake_at = now


def _alone(stream: Stream) -> float:
    """Seconds that a stream would take with nothing beside it, in the least executable that holds its rows."""
    executable, rows = stream.executable, stream.rows
    if executable.rows != rows:
        executable = stream.tenant.tiers[stream.tier].bucket(stream.requests[0].binding, rows, rows) or executable
    return executable.cost.expected(1)


def _quickest(tenant: Tenant) -> tuple[int, Executable | None]:
    """The tier, of those that may answer the tenant's head, that is done with it first."""
    head = tenant.head
    pinned = tenant.pinned if tenant.pinned >= 0 else head.tier
    least, tier, found = FOREVER, 0, None
    for index in range(len(tenant.tiers)) if pinned < 0 else (pinned,):
        if pinned < 0 and head.forbidden >> index & 1:
            continue
        executable = tenant.tiers[index].bucket(head.binding, head.rows, head.rows)
        if executable is not None and executable.cost.expected(1) < least:
            least, tier, found = executable.cost.expected(1), index, executable
    return tier, found
