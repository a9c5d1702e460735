"""P99 latency by load, as an offline profile of the simulated servers finds it: measured in a queue, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from treadle.simulate.model_switching.engine import SERVICE_SPREAD
from treadle_agent.policy.algorithm1 import TailCurve

# Of saturation; beyond the last one a queue takes longer to settle than a profile is given time for.
UTILISATIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_REQUESTS, _REPEATS = 50_000, 4
_WARM_UP = 0.1  # share of the requests that are not counted

# How ResNets' service time depends on ⟨R, T⟩: Amdahl's law in the threads, and what replicas take from each other.
# Assumed: published is only that four replicas of four threads reach the saturations of the table.
PARALLEL_SHARE = 0.9
CONTENTION = 0.06  # slower by this for each other replica


def tail_curve(service: float, servers: int, utilisations: Sequence[float] = UTILISATIONS) -> TailCurve:
    """P99 of Poisson arrivals at servers that take `service` seconds, at `utilisations` of their saturation."""
    rates = tuple(share * servers / service for share in utilisations)
    return TailCurve(rates, tuple(float(one) * service for one in measured_tails(servers, tuple(utilisations))))


def scaled_service(service: float, known: tuple[int, int], wanted: tuple[int, int]) -> float:
    """Seconds of a request at ⟨R, T⟩ `wanted`, from those at `known`."""

    def relative(replicas: int, threads: int) -> float:
        return (1.0 - PARALLEL_SHARE + PARALLEL_SHARE / threads) * (1.0 + CONTENTION * (replicas - 1))

    return service * relative(*wanted) / relative(*known)


@cache
def measured_tails(servers: int, utilisations: Sequence[float] = UTILISATIONS) -> npt.NDArray[np.float64]:
    """(len(utilisations),) P99 latencies at those loads, in mean service times.

    Each column of the arrays below is a queue of its own: the waits are Kiefer and Wolfowitz's recursion, in which each
    server's remaining work is kept sorted.
    """
    random = np.random.default_rng(20200713 + servers)
    loads = np.repeat(np.asarray(utilisations), _REPEATS)
    gaps = random.exponential(1.0, (_REQUESTS, len(loads))) / (loads * servers)
    variance = np.log1p(SERVICE_SPREAD**2)
    services = random.lognormal(-variance / 2, np.sqrt(variance), (_REQUESTS, len(loads)))
    work = np.zeros((len(loads), servers))
    latencies = np.empty_like(services)
    for request, (gap, service) in enumerate(zip(gaps, services, strict=True)):
        work -= gap[:, None]
        np.maximum(work, 0.0, out=work)
        work[:, 0] += service
        latencies[request] = work[:, 0]
        work.sort(axis=1)
    counted = latencies[int(_WARM_UP * _REQUESTS) :]
    by_load = counted.T.reshape(len(utilisations), -1)
    tails = np.quantile(by_load, 0.99, axis=1)
    return np.asarray(np.maximum.accumulate(tails), dtype=np.float64)
