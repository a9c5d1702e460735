"""From what became of each request to a row of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treadle.simulate.model_switching.engine import NOBODY, Played

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """One run: percent, ratios of all requests, seconds; None where nothing was answered or nothing degraded."""

    effective_accuracy: float
    accuracy_of_answered: float | None
    violation_ratio: float
    shed_ratio: float
    switches_per_request: float
    first_degradation: float | None
    p99: float | None


def score(played: Played, accuracies: Sequence[float], spike: float | None, of_tenant: int | None = None) -> Score:
    """Score a run, of one tenant's requests or of all; `spike`: when the rate rose most."""
    arrivals = np.array([request.arrival for request in played.requests])
    mine = np.ones(len(arrivals), bool)
    if of_tenant is not None:
        mine = np.array([request.tenant == of_tenant for request in played.requests])
    timely = in_time(played) & mine
    count = int(mine.sum())
    earned = np.asarray(accuracies)[played.tier[timely]]
    begun = (played.tier != NOBODY) & mine
    latencies = (played.end - arrivals)[begun]
    return Score(
        effective_accuracy=float(earned.sum() / count),
        accuracy_of_answered=float(earned.mean()) if len(earned) else None,
        violation_ratio=1.0 - len(earned) / count,
        shed_ratio=1.0 - float(begun.sum()) / count,
        switches_per_request=played.switches / count,
        first_degradation=None if spike is None else first_degradation(played, spike),
        p99=float(np.quantile(latencies, 0.99)) if len(latencies) else None,
    )


def in_time(played: Played) -> npt.NDArray[np.bool_]:
    """(N,) whether each request was answered within its deadline."""
    deadlines = np.array([request.deadline for request in played.requests])
    return np.asarray(played.end <= deadlines)


def first_degradation(played: Played, spike: float) -> float | None:
    """Seconds from `spike` to the first request begun at a less accurate tier than the last one before it."""
    begun = np.flatnonzero(played.tier != NOBODY)
    begun = begun[np.argsort(played.begin[begun], kind="stable")]
    begins, tiers = played.begin[begun], played.tier[begun]
    after = int(np.searchsorted(begins, spike))
    before = tiers[after - 1] if after else tiers[0]
    lower = np.flatnonzero(tiers[after:] > before)
    return float(begins[after + lower[0]] - spike) if len(lower) else None
