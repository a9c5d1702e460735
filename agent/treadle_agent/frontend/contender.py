"""Which of a node's devices is next: what each owes is counted as requests begin and end on it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from treadle_agent.executor.gateway import Call, Gateway, Served
from treadle_agent.executor.protocol import Done, Outcome
from treadle_agent.policy.routing import Backlog, Candidate

SEEN_GAIN = 0.2  # weight of one request

Answer = Callable[[Call, float, int, int, int], Coroutine[Any, Any, Done]]
"""Runs a call by a deadline, with a priority, by a tier and not by others: `Gateway.answer`."""


class Contender:
    """One version on one device, which may answer a request sooner than another does.

    `backlog` is the device's, `clock` the front end's.
    """

    def __init__(self, gateway: Gateway, served: Served, backlog: Backlog, clock: Callable[[], float]) -> None:
        self._gateway = gateway
        self._served = served
        self._backlog = backlog
        self._clock = clock
        self._tier = max(served.version.pinned, 0)  # that answered last, and will answer next
        self._seen = 0.0  # seconds that requests took lately

    @property
    def candidate(self) -> Candidate:
        """When the device could be done with one more request."""
        return Candidate(self._backlog.wait, self._work)

    @property
    def _work(self) -> float:
        """Seconds that a request takes alone; as seen, where shapes were too free to measure at load."""
        return self._served.service_seconds[self._tier] or self._seen

    async def answer(self, call: Call, deadline: float, priority: int = 0, tier: int = -1, forbidden: int = 0) -> Done:
        """See `Gateway.answer`."""
        work, done = self._work, None
        self._backlog.begin(work, self._clock())
        try:
            done = await self._gateway.answer(call, deadline, priority, tier, forbidden)
        finally:
            answered = done is not None and done.outcome == Outcome.DONE
            self._backlog.end(work, self._clock(), done=answered)
        if answered:
            self._tier = done.tier
            self._seen += SEEN_GAIN * (done.finished - done.started - self._seen)
        return done
