"""A comparator: which server hosts which tier is solved for a window at a time, as in Proteus and InfAdapter.

A mixed-integer program (HiGHS) places tiers on servers for the rate to expect and assigns each tier its share of the
requests. Simplified: the rate to expect is that of the last window with a margin, without a forecast; batching is left
out, as everywhere in this simulation. Requests that are too late are dropped, as Proteus does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from treadle.simulate.model_switching.engine import Asked, Dispatch

WINDOW = 30.0  # seconds that a placement stays
MARGIN = 1.1  # of the last window's rate
HEADROOM = 0.8  # of a server's saturation: one queue a tier needs room for bursts


def solve(
    rate: float, accuracies: Sequence[float], services: Sequence[float], servers: int
) -> tuple[list[int], list[float]]:
    """Servers by tier and requests a second by tier, of the highest accuracy served at `rate` requests a second."""
    tiers = len(accuracies)
    eye = np.eye(tiers)
    objective = np.concatenate([np.zeros(tiers), -np.asarray(accuracies)])
    constraints = [
        LinearConstraint(np.concatenate([np.ones(tiers), np.zeros(tiers)]), servers, servers),
        LinearConstraint(np.concatenate([np.zeros(tiers), np.ones(tiers)]), 0.0, rate),
        LinearConstraint(np.hstack([-HEADROOM / np.asarray(services) * eye, eye]), -np.inf, 0.0),
    ]
    kinds = np.concatenate([np.ones(tiers), np.zeros(tiers)])
    solved = milp(objective, constraints=constraints, integrality=kinds, bounds=Bounds(0.0, np.inf))
    assert solved.status == 0, solved.message
    return [round(each) for each in solved.x[:tiers]], [max(0.0, float(each)) for each in solved.x[tiers:]]


class Placement:
    """Servers that host one tier each, for a window; requests are dealt to the tiers in proportion to the plan."""

    def __init__(self, accuracies: Sequence[float], services: Sequence[float], servers: int) -> None:
        self.switches = 0
        self._accuracies, self._services = accuracies, services
        self._hosted = [0] * servers
        self._queues: list[deque[Asked]] = [deque() for _ in services]
        self._shares = [1.0, *(0.0 for _ in services[1:])]
        self._credit = [0.0] * len(services)
        self._counted = 0
        self._window_ends = WINDOW

    def arrive(self, request: Asked) -> None:
        """See `Dispatcher`."""
        if request.arrival >= self._window_ends:
            self._plan(request.arrival)
        self._counted += 1
        self._deal(request)

    def dispatch(self, free: Sequence[int], now: float) -> Dispatch | None:
        """See `Dispatcher`."""
        for server in free:
            tier = self._hosted[server]
            queue = self._queues[tier]
            while queue and queue[0].deadline < now + self._services[tier]:
                queue.popleft()
            if queue:
                return Dispatch(server, queue.popleft(), tier)
        return None

    def finished(self, request: Asked, tier: int, seconds: float) -> None:
        """See `Dispatcher`."""

    def _plan(self, now: float) -> None:
        rate = MARGIN * self._counted / WINDOW
        counts, rates = solve(rate, self._accuracies, self._services, len(self._hosted))
        self._host(counts)
        total = sum(rates)
        self._shares = [each / total for each in rates]
        self._credit = [0.0] * len(rates)
        self._counted = 0
        self._window_ends = (now // WINDOW + 1.0) * WINDOW
        waiting = sorted((request for queue in self._queues for request in queue), key=lambda one: one.arrival)
        for queue in self._queues:
            queue.clear()
        for request in waiting:
            self._deal(request)

    def _host(self, counts: Sequence[int]) -> None:
        """As many servers of each tier as planned; who hosts a tier that is still wanted keeps it."""
        left = list(counts)
        moving = []
        for server, tier in enumerate(self._hosted):
            if left[tier]:
                left[tier] -= 1
            else:
                moving.append(server)
        for server in moving:
            self._hosted[server] = next(tier for tier, count in enumerate(left) if count)
            left[self._hosted[server]] -= 1
        self.switches += len(moving)

    def _deal(self, request: Asked) -> None:
        """To the tier that is furthest behind its share."""
        for tier, share in enumerate(self._shares):
            self._credit[tier] += share
        tier = max(range(len(self._credit)), key=self._credit.__getitem__)
        self._credit[tier] -= 1.0
        self._queues[tier].append(request)
