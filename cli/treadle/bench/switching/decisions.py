"""What the choice of a tier costs the executor's dispatch thread."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from treadle.bench.switching.report import Decisions
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.switching import choose_tier

_TIERS, _WAITING, _ROUNDS = 16, 256, 20_000  # as many tiers as a tenant may have


class _Asked(NamedTuple):
    request: int
    arrival: float
    deadline: float
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0


def measure_decisions() -> Decisions:
    """Time a request's way through its tenant's queue, with the choice among 16 tiers at its end."""
    tiers = []
    for index in range(_TIERS):
        seconds = 0.1 / (1 + index)
        tier = Tier(str(index), seconds)
        tier.buckets[0] = [Executable(str(index), 1, (0.0, 1.0), mergeable=False, cost=CostModel.line(seconds, 0.0))]
        tiers.append(tier)
    tenant = Tenant(0, 1e9, _WAITING + 1, tiers)
    for number in range(_WAITING):
        tenant.push(_Asked(number, 0.0, 1e9 + number))
    took = np.empty(_ROUNDS)
    for index in range(_ROUNDS):
        number = _WAITING + index
        others = 1e9 * (index % 20) / 10  # from idle to hopeless: every outcome of the choice
        begin = time.perf_counter()
        tenant.push(_Asked(number, float(number), 1e9 + number))
        tenant.take_doomed(0.0)
        tenant.switch(choose_tier(tenant, tenant.head, 0.0, others))
        tenant.take(1)
        took[index] = time.perf_counter() - begin
    p50, p99 = (1e6 * np.quantile(took, (0.5, 0.99))).tolist()
    return Decisions(round(p50, 2), round(p99, 2), _TIERS, _WAITING)
