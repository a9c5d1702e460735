"""Requests that wait, a queue a tenant: bounded, ordered by priority, then deadline."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Protocol

from treadle_agent.policy.latency import RELAX_GAIN, Executable

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
    def deadline(self) -> float:
        """When the answer must be there."""

    @property
    def priority(self) -> int:
        """1 is the highest; 0 means none was given: the lowest."""

    @property
    def tier(self) -> int:
        """The tier the client pinned, or -1."""


class Tier:
    """A tier on this device: its executables by binding, ascending in rows, and its amortised cost.

    `service`: seconds that one row takes alone, as last corrected, in the cheapest of the input shapes: a client that
    asks for a large one must not make the others' requests look hopeless.
    `row_seconds`: the device time that one row has cost lately, merged and batched as it was: what a backlog of this
    tier's requests will take.
    """

    __slots__ = ("_observed", "buckets", "name", "row_seconds", "service")

    def __init__(self, name: str, service: float) -> None:
        self.name = name
        self.service = service
        self.row_seconds = service
        self._observed = False
        self.buckets: dict[int, Sequence[Executable]] = {}

    def observe(self, rows: int, seconds: float) -> None:
        """Learn the costs: `rows` rows took `seconds` of the device."""
        self.row_seconds += ROW_GAIN * (seconds / rows - self.row_seconds)
        self._observed = True
        self._correct()

    def relax(self) -> None:
        """Once a second: forget what was observed long ago."""
        for executables in self.buckets.values():
            executables[0].cost.correction.relax()
        self._correct()
        self.row_seconds += RELAX_GAIN * (self.service - self.row_seconds) * (not self._observed)
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
            if executable.rows < least:
                continue
            fits = executable.batches and executable.rows <= waiting_rows and executable.cost.expected(1) <= within
            if best is None or fits:
                best = executable
            else:
                break
        return best


class Tenant:
    """One version of a tenant: its tiers, most accurate first, and the requests that wait for it."""

    __slots__ = (
        "_earliest",
        "_heap",
        "current",
        "deadline",
        "downs",
        "id",
        "pinned",
        "queue_limit",
        "rows",
        "tiers",
        "ups",
    )

    def __init__(self, tenant: int, deadline: float, queue_limit: int, tiers: Sequence[Tier], pinned: int = -1) -> None:
        self.id = tenant
        self.deadline = deadline
        self.queue_limit = queue_limit
        self.tiers = tiers
        self.pinned = pinned
        self.current = max(pinned, 0)
        self.rows = 0
        self.ups = self.downs = 0  # switches to a more, to a less accurate tier
        self._heap: list[tuple[int, float, int, Request]] = []
        self._earliest = FOREVER  # no request that waits has an earlier deadline; may lag behind

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Request]:
        return (entry[3] for entry in self._heap)

    @property
    def head(self) -> Request:
        """The next request; IndexError when none waits."""
        return self._heap[0][3]

    def push(self, request: Request) -> bool:
        """Accept a request; False when the queue is full."""
        if len(self._heap) >= self.queue_limit:
            return False
        heapq.heappush(self._heap, (request.priority or LOWEST_PRIORITY, request.deadline, request.request, request))
        self._earliest = min(self._earliest, request.deadline)
        self.rows += request.rows
        return True

    def pop(self) -> Request:
        """Take the next request."""
        request = heapq.heappop(self._heap)[3]
        self.rows -= request.rows
        return request

    def remove(self, request: int) -> Request | None:
        """Take one request out, wherever it stands (a cancellation); None when it is not waiting."""
        for index, entry in enumerate(self._heap):
            if entry[2] == request:
                self._heap[index] = self._heap[-1]
                self._heap.pop()
                heapq.heapify(self._heap)
                self.rows -= entry[3].rows
                return entry[3]
        return None

    @property
    def backlog(self) -> float:
        """Device seconds that the waiting requests will take at the current tier."""
        return self.rows * self.tiers[self.current].row_seconds

    def switch(self, tier: int) -> None:
        """Make `tier` the current one."""
        self.ups += tier < self.current
        self.downs += tier > self.current
        self.current = tier

    def fastest(self) -> float:
        """Seconds of the fastest tier that may answer, alone."""
        if self.pinned >= 0:
            return self.tiers[self.pinned].service
        return min(tier.service for tier in self.tiers)

    def take_doomed(self, now: float) -> list[Request]:
        """Remove and return the requests that not even the fastest tier can answer in time any more."""
        limit = now + self.fastest() + ANSWER_SHARE * self.deadline
        if self._earliest >= limit:
            return []
        doomed = [entry[3] for entry in self._heap if entry[1] < limit]
        self._heap = [entry for entry in self._heap if entry[1] >= limit]
        heapq.heapify(self._heap)
        self._earliest = min((entry[1] for entry in self._heap), default=FOREVER)
        self.rows -= sum(request.rows for request in doomed)
        return doomed

    def take(self, capacity: int) -> tuple[Request, ...]:
        """Take from the head what fits `capacity` rows and shares the head's binding and pinned tier."""
        head = self.head
        taken: list[Request] = []
        while self._heap:
            request = self._heap[0][3]
            if request.rows > capacity or request.binding != head.binding or request.tier != head.tier:
                break
            capacity -= request.rows
            taken.append(self.pop())
        return tuple(taken)
