"""When each request is due and whom it asks: computed before the run, so that a slow server cannot slow the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of constant mean rate: its length in seconds, and requests per second (0 is silence)."""

    seconds: float
    rate: float

    def __post_init__(self) -> None:
        if not self.seconds > 0 or not self.rate >= 0:
            raise ValueError(f"a phase needs seconds > 0 and rate >= 0, not {self}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Requests in the order they are due.

    `times`: (N,) float64, ascending seconds from the start; `targets`: (N,) int32, indices into the run's targets;
    `seconds`: when the load ends, at or after the last arrival.
    """

    times: npt.NDArray[np.float64]
    targets: npt.NDArray[np.int32]
    seconds: float

    def __post_init__(self) -> None:
        if self.times.shape != self.targets.shape or self.times.ndim != 1:
            raise ValueError(
                f"times {self.times.shape} and targets {self.targets.shape} must be two vectors of a length"
            )
        if self.times.size and (np.any(np.diff(self.times) < 0) or self.times[0] < 0 or self.times[-1] > self.seconds):
            raise ValueError("times must ascend from 0 to `seconds`")

    def __len__(self) -> int:
        return int(self.times.size)


def poisson(phases: Sequence[Phase], *, seed: int, weights: Sequence[float] = (1.0,)) -> Schedule:
    """Poisson arrivals through `phases`; each request asks target i with probability in proportion to `weights[i]`."""
    random = np.random.default_rng(seed)
    times = np.concatenate(
        [begin + np.sort(random.uniform(0.0, phase.seconds, random.poisson(phase.rate * phase.seconds)))
         for begin, phase in _begins(phases)]
    )  # fmt: skip  # given their number, Poisson arrivals are uniform
    return Schedule(times, _draw(random, times.size, weights), sum(phase.seconds for phase in phases))


def constant(phases: Sequence[Phase], *, seed: int, weights: Sequence[float] = (1.0,)) -> Schedule:
    """Evenly spaced arrivals through `phases`; targets as in `poisson`."""
    random = np.random.default_rng(seed)
    times = np.concatenate(
        [begin + np.arange(int(phase.rate * phase.seconds)) / (phase.rate or 1.0) for begin, phase in _begins(phases)]
    )
    return Schedule(times, _draw(random, times.size, weights), sum(phase.seconds for phase in phases))


def at_once(count: int, targets: int, *, seconds: float) -> Schedule:
    """`count` requests due at once, targets in turn: with C connections, a closed loop of concurrency C that ends
    after `seconds`. Latency from the intended time means nothing here.
    """
    return Schedule(np.zeros(count), np.arange(count, dtype=np.int32) % targets, seconds)


def merge(*schedules: Schedule) -> Schedule:
    """All requests of schedules that share one list of targets, such as tenants with rate profiles of their own."""
    times = np.concatenate([schedule.times for schedule in schedules])
    order = np.argsort(times, kind="stable")
    targets = np.concatenate([schedule.targets for schedule in schedules])
    return Schedule(times[order], targets[order], max(schedule.seconds for schedule in schedules))


def _begins(phases: Sequence[Phase]) -> list[tuple[float, Phase]]:
    if not phases:
        raise ValueError("a schedule needs at least one phase")
    begins = np.cumsum([0.0, *(phase.seconds for phase in phases[:-1])])
    return list(zip(begins.tolist(), phases, strict=True))


def _draw(random: np.random.Generator, count: int, weights: Sequence[float]) -> npt.NDArray[np.int32]:
    shares = np.asarray(weights, dtype=np.float64)
    return random.choice(shares.size, size=count, p=shares / shares.sum()).astype(np.int32)
