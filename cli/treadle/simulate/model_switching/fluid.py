"""What no policy can beat by more than queueing smooths: the best mix of tiers for the true rate of each second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog


def fluid_bound(
    per_second: npt.NDArray[np.float64], accuracies: Sequence[float], saturations: Sequence[float]
) -> float:
    """Effective accuracy, percent, of requests that flow at `per_second` (a rate for each second)."""
    rates = np.asarray(per_second)
    earned = sum(best_mix(round(float(rate), 6), tuple(accuracies), tuple(saturations)) for rate in rates)
    return float(earned / rates.sum())


@lru_cache(maxsize=4096)
def best_mix(rate: float, accuracies: tuple[float, ...], saturations: tuple[float, ...]) -> float:
    """Accuracy earned in a second: max Σ aᵢxᵢ over xᵢ ≥ 0 requests a second of tier i, Σ xᵢ ≤ rate, Σ xᵢ/sᵢ ≤ 1."""
    if rate <= 0.0:
        return 0.0
    capacity = np.array([np.ones(len(accuracies)), 1.0 / np.asarray(saturations)])
    solved = linprog(-np.asarray(accuracies), A_ub=capacity, b_ub=[rate, 1.0], method="highs")
    assert solved.status == 0, solved.message
    return float(-solved.fun)
