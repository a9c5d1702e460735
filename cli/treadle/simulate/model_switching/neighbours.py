"""Two tenants of the same tiers on one device, as the executor schedules it: what one notices of the other's burst.

The device runs one request at a time and so reaches the saturations of the tiers alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle.simulate.model_switching.arrivals import Rates, poisson_load
from treadle.simulate.model_switching.contenders import Device, Scenario
from treadle.simulate.model_switching.engine import Asked, Played, play, spread
from treadle.simulate.model_switching.executor import Executor
from treadle.simulate.model_switching.queueing import make_tenant
from treadle.simulate.model_switching.report import Neighbour
from treadle.simulate.model_switching.scoring import Score, score

BURST = 10.0
_SECONDS, _BURST_BEGINS, _BURST_ENDS = 120.0, 40.0, 60.0
_SHARE = 0.1  # of the fastest tier's saturation: each tenant's ordinary rate, so that ten times one are all of it
QUIET, LOUD = 0, 1


def neighbour(device: Device, deadline: float, burst: float, seeds: int) -> Neighbour:
    """Means over seeds, with one of the tenants `burst` times as loud for 20 of 120 seconds."""
    scores: dict[int, list[Score]] = {QUIET: [], LOUD: []}
    for seed in range(seeds):
        played = _play(device, deadline, burst, seed)
        for tenant, found in scores.items():
            found.append(score(played, device.accuracies, None, of_tenant=tenant))
    return Neighbour(
        deadline_ms=1e3 * deadline,
        burst=burst,
        violation_ratio=_mean([one.violation_ratio for one in scores[QUIET]]),
        effective_accuracy=_mean([one.effective_accuracy for one in scores[QUIET]]),
        loud_violation_ratio=_mean([one.violation_ratio for one in scores[LOUD]]),
        loud_effective_accuracy=_mean([one.effective_accuracy for one in scores[LOUD]]),
    )


def _play(device: Device, deadline: float, burst: float, seed: int) -> Played:
    rate = _SHARE * max(tier.saturation for tier in device.tiers)
    steady = Rates(((0.0, rate),), _SECONDS)
    bursting = Rates(((0.0, rate), (_BURST_BEGINS, rate * burst), (_BURST_ENDS, rate)), _SECONDS)
    loads = poisson_load(steady, 2 * seed), poisson_load(bursting, 2 * seed + 1)
    arrivals = sorted((time, tenant) for tenant, load in enumerate(loads) for time in load.times.tolist())
    requests = [Asked(index, time, time + deadline, tenant) for index, (time, tenant) in enumerate(arrivals)]
    alone = Device(device.tiers, servers=1)
    tenants = [make_tenant(tenant, deadline, alone.profile, 1) for tenant in (QUIET, LOUD)]
    factors = spread(len(requests), seed).tolist()
    return play(requests, factors, alone.plant(Scenario(deadline)), Executor(tenants))


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 5)
