"""Requests that wait, a queue a tenant: bounded, ordered by priority, then deadline."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from treadle_agent.policy.arrivals import EventWindow
from treadle_agent.policy.latency import RELAX_GAIN, Correction, Executable
from treadle_agent.policy.switches import Direction, Switches

LOWEST_PRIORITY = 1 << 30
FOREVER = float("inf")
ROW_GAIN = 0.1  # weight of one observation of a tier's amortised cost
ANSWER_SHARE = 0.05  # of a tenant's deadline: kept for the answer's way back to the client


class Request(Protocol):
    """What a policy knows of a request; times in seconds of one monotonic clock."""

    @property
    def request(self) -> int:
        """Identity, increasing in order of arrival."""

    @property
    def binding(self) -> int:
        """Which input shapes."""

    @property
    def rows(self) -> int:
        """Size of its batch dimension."""

    @property
    def arrival(self) -> float:
        """When it came."""

    @property
    def deadline(self) -> float:
        """When the answer must be there."""

    @property
    def priority(self) -> int:
        """1 is the highest; 0 means none was given: the lowest."""

    @property
    def tier(self) -> int:
        """The tier the client pinned, or -1."""

    @property
    def forbidden(self) -> int:
        """The tiers the client ruled out: bit i is tier i. Never all of them."""


class Switching(Protocol):
    """A tenant's policy of choosing tiers; it leaves in `tenant.switches.reason` why the current one is not."""

    def choose(self, tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:
        """The index of the tier to answer `head` with, when neither it nor the tenant is pinned to one."""


class Tier:
    """A tier on this device: its executables by binding, ascending in rows, and its amortised cost.

    `service`: seconds that one row takes alone, as last corrected, in the cheapest of the input shapes: a client that
    asks for a large one must not make the others' requests look hopeless.
    `row_seconds`: the device time that one row has cost lately, merged and batched as it was: what a backlog of this
    tier's requests will take. `servers`: requests that the device runs at a time, each in its service time.
    `load`: seconds until the tier could begin; 0 while it is resident.
    """

    __slots__ = ("_observed", "buckets", "load", "name", "row_seconds", "servers", "service")

    def __init__(self, name: str, service: float, servers: int = 1) -> None:
        self.name = name
        self.service = service
        self.servers = servers
        self.row_seconds = service / servers
        self.load = 0.0
        self._observed = False
        self.buckets: dict[int, Sequence[Executable]] = {}

    def observe(self, rows: int, seconds: float) -> None:
        """Learn the costs: `rows` rows took `seconds` of the device."""
        self.row_seconds += ROW_GAIN * (seconds / rows - self.row_seconds)
        self._observed = True
        self._correct()

    @property
    def corrections(self) -> Iterator[Correction]:
        """What corrects its executables' costs, a binding each; other tiers may share them."""
        return (executables[0].cost.correction for executables in self.buckets.values())

    def relax(self) -> None:
        """Once a second, after its corrections have been relaxed: forget what was observed long ago."""
        self._correct()
        if not self._observed:
            self.row_seconds += RELAX_GAIN * (self.service / self.servers - self.row_seconds)
        self._observed = False

    def _correct(self) -> None:
        costs = [executables[0].cost.expected(1) for executables in self.buckets.values()]
        self.service = min(costs, default=self.service)

    def holds(self, binding: int, executable: Executable) -> bool:
        """Whether this tier can answer by `executable`."""
        return executable in self.buckets.get(binding, ())

    def bucket(self, binding: int, waiting_rows: int, least: int, within: float = FOREVER) -> Executable | None:
        """The largest executable that `waiting_rows` rows fill and that takes at most `within` seconds.

        At any rate one that holds `least` rows, however long it takes; None if none does.
        """
        best: Executable | None = None
        for executable in self.buckets.get(binding, ()):
            rows = executable.rows
            if rows < least:
                continue
            if best is None or (rows <= waiting_rows and executable.batches and executable.cost.expected(1) <= within):
                best = executable
            else:
                break
        return best


class Tenant:
    """One version of a tenant: its tiers, most accurate first, and the requests that wait for it.

    `line`: these requests, the next one first, each as (priority, deadline, number, request). A sorted list, not a
    heap: most requests come in the order in which they leave, and a batch leaves in one piece.
    `weight`: of its claim on the device where several want it. `company`: only tenants of the same one share its
    launches; -1: nobody does.
    `switching`: its policy of choosing tiers, None for the default. `loaded_at`: when a tier that was not resident was
    last begun to be loaded. `used`: device seconds it has had that are not in `share` yet, its share of the device
    lately; `pace`: the part of the device that its waiting requests can count on.
    """

    __slots__ = (
        "_prioritised",
        "arrivals",
        "company",
        "current",
        "deadline",
        "earliest",
        "id",
        "line",
        "loaded_at",
        "pace",
        "pinned",
        "queue_limit",
        "rows",
        "share",
        "switches",
        "switching",
        "tiers",
        "used",
        "weight",
    )

    def __init__(
        self,
        tenant: int,
        deadline: float,
        queue_limit: int,
        tiers: Sequence[Tier],
        pinned: int = -1,
        switching: Switching | None = None,
        weight: float = 1.0,
    ) -> None:
        self.id = tenant
        self.deadline = deadline
        self.queue_limit = queue_limit
        self.tiers = tiers
        self.pinned = pinned
        self.switching = switching
        self.weight = weight
        self.company = 0
        self.current = max(pinned, 0)
        self.arrivals = EventWindow()
        self.loaded_at = -FOREVER
        self.used = self.share = 0.0
        self.pace = 1.0
        self.rows = 0
        self.switches = Switches()
        self.line: list[tuple[int, float, int, Request]] = []
        self.earliest = FOREVER  # no request that waits has an earlier deadline; may lag behind where `_prioritised`
        self._prioritised = False  # requests may wait in another order than that of their deadlines

    def __len__(self) -> int:
        return len(self.line)

    def __iter__(self) -> Iterator[Request]:
        return (entry[3] for entry in self.line)

    @property
    def head(self) -> Request:
        """The next request; IndexError when none waits."""
        return self.line[0][3]

    def push(self, request: Request) -> bool:
        """Accept a request; False when the queue is full."""
        self.arrivals.add(request.arrival)
        if len(self.line) >= self.queue_limit:
            return False
        priority, deadline = request.priority, request.deadline
        insort(self.line, (priority or LOWEST_PRIORITY, deadline, request.request, request))
        if deadline < self.earliest:
            self.earliest = deadline
        if priority:
            self._prioritised = True
        self.rows += request.rows
        return True

    def pop(self) -> Request:
        """Take the next request."""
        request = self.line.pop(0)[3]
        self.rows -= request.rows
        self._look()
        return request

    def remove(self, request: int) -> Request | None:
        """Take one request out, wherever it stands (a cancellation); None when it is not waiting."""
        for index, entry in enumerate(self.line):
            if entry[2] == request:
                del self.line[index]
                self.rows -= entry[3].rows
                self._look()
                return entry[3]
        return None

    @property
    def backlog(self) -> float:
        """Device seconds that the waiting requests will take at the current tier."""
        return self.rows * self.tiers[self.current].row_seconds

    @property
    def ups(self) -> int:
        """Switches to a more accurate tier so far."""
        return self.switches.total(Direction.UP)

    @property
    def downs(self) -> int:
        """Switches to a less accurate tier so far."""
        return self.switches.total(Direction.DOWN)

    def switch(self, tier: int) -> None:
        """Make `tier` the current one, for the reason that the policy left."""
        if tier != self.current:
            self.switches.count(Direction.UP if tier < self.current else Direction.DOWN)
            self.current = tier

    def observed_ratio(self) -> float:
        """What the tiers lately took, over their profiles: the mean of those that were observed, 1 when none was."""
        ratios = [one.ratio for tier in self.tiers for one in tier.corrections if one.fresh]
        return sum(ratios) / len(ratios) if ratios else 1.0

    def fastest(self) -> float:
        """Seconds of the fastest tier that may answer, alone."""
        tiers = self.tiers
        if self.pinned >= 0:
            return tiers[self.pinned].service
        return tiers[0].service if len(tiers) == 1 else min([tier.service for tier in tiers])

    def take_doomed(self, now: float) -> list[Request]:
        """Remove and return the requests that not even the fastest tier can answer in time any more."""
        limit = now + self.fastest() + ANSWER_SHARE * self.deadline
        if self.earliest >= limit:
            return []
        doomed = [entry[3] for entry in self.line if entry[1] < limit]
        self.line = [entry for entry in self.line if entry[1] >= limit]
        self.earliest = min([entry[1] for entry in self.line], default=FOREVER)
        self.rows -= sum([request.rows for request in doomed])
        self._look()
        return doomed

    def take(self, capacity: int, finish: float = -FOREVER) -> tuple[Request, ...]:
        """Take from the head what fits `capacity` rows and shares the head's binding and pinned tier.

        `finish`: when they will be answered; who needs it sooner is left.
        """
        line, left, taken = self.line, capacity, 0
        head = line[0][3]
        binding, tier, forbidden = head.binding, head.tier, head.forbidden
        for _, deadline, _, request in line:
            rows = request.rows
            if rows > left or deadline < finish:
                break
            if request.binding != binding or request.tier != tier or request.forbidden != forbidden:
                break
            left -= rows
            taken += 1
            if not left:
                break
        requests = (head,) if taken == 1 else tuple([entry[3] for entry in line[:taken]])
        del line[:taken]
        self.rows -= capacity - left
        if self._prioritised or not line:
            self._look()
        else:
            self.earliest = line[0][1]
        return requests

    def _look(self) -> None:
        if not self.line:
            self._prioritised = False
            self.earliest = FOREVER
        elif not self._prioritised:
            self.earliest = self.line[0][1]


def relax(tenants: Iterable[Tenant]) -> None:
    """Once a second: what no launch has shown lately drifts to what the same tenant's other tiers show."""
    tenants = list(tenants)
    toward = {correction: ratio for tenant in tenants for correction, ratio in _drifts(tenant)}
    for correction, ratio in toward.items():  # each once, however many tenants share it
        correction.relax(ratio)
    for tenant in tenants:
        for tier in tenant.tiers:
            tier.relax()


def _drifts(tenant: Tenant) -> Iterator[tuple[Correction, float]]:
    ratio = tenant.observed_ratio()
    return ((correction, ratio) for tier in tenant.tiers for correction in tier.corrections)
