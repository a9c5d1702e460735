"""Model-Switching as published (Zhang et al., HotCloud 2020, §4 and Algorithm 1): the mode that the default is held to.

Offline: for each tier the P99 latency by load, for each ⟨R, T⟩ (R replicas of T threads) that the cores allow; the one
that keeps the deadline up to the highest load is taken. Online, once a period: estimate the load from an event window,
and serve the most accurate tier whose P99 at that load is within the deadline, or else the fastest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treadle_agent.policy.queues import FOREVER, Request, Tenant
from treadle_agent.policy.switches import Reason

PERIOD = 1.0  # seconds between two decisions


@dataclass(frozen=True, slots=True)
class TailCurve:
    """P99 latency by load: measured points of rising requests a second, their seconds; linear between them."""

    rates: tuple[float, ...]
    seconds: tuple[float, ...]

    def at(self, rate: float) -> float:
        """Seconds at a load: the first point's below it, infinite beyond the last one."""
        if rate <= self.rates[0]:
            return self.seconds[0]
        if rate > self.rates[-1]:
            return FOREVER
        above = bisect_left(self.rates, rate)
        share = (rate - self.rates[above - 1]) / (self.rates[above] - self.rates[above - 1])
        return self.seconds[above - 1] + share * (self.seconds[above] - self.seconds[above - 1])

    def sustains(self, deadline: float) -> float:
        """The highest measured load, in requests a second, up to which the P99 stays within `deadline`; 0 if none."""
        best = 0.0
        for rate, seconds in zip(self.rates, self.seconds, strict=True):
            if seconds > deadline:
                break
            best = rate
        return best


@dataclass(frozen=True, slots=True, order=True)
class Parallelism:
    """⟨R, T⟩: `replicas` of a model, each on `threads` threads."""

    replicas: int
    threads: int


def search(curves: Mapping[Parallelism, TailCurve], cores: int, deadline: float) -> Parallelism:
    """The ⟨R, T⟩ on at most `cores` threads that keeps the deadline up to the highest load.

    Of equals the one with the lower P99 at its lowest measured load.

    Raises:
        ValueError: none fits the cores.
    """
    fitting = [each for each in curves if each.replicas * each.threads <= cores]
    if not fitting:
        raise ValueError(f"no ⟨R, T⟩ of {sorted(curves)} fits {cores} cores")
    return max(fitting, key=lambda each: (curves[each].sustains(deadline), -curves[each].seconds[0]))


class Algorithm1:
    """One tenant's controller; `curves` by tier, most accurate first, each of the ⟨R, T⟩ that was searched out."""

    def __init__(self, curves: Sequence[TailCurve]) -> None:
        self._curves = curves
        self._tier = 0
        self._due = 0.0

    def choose(self, tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:  # noqa: ARG002 - a Switching
        """The tier that the latest period decided for."""
        if now >= self._due:
            self._due = (now // PERIOD + 1.0) * PERIOD
            self._tier = self._decide(tenant)
            tenant.switches.reason = Reason.RATE
        return self._tier

    def _decide(self, tenant: Tenant) -> int:
        rate = tenant.arrivals.rate()
        for index, curve in enumerate(self._curves):
            if curve.at(rate) <= tenant.deadline:
                return index
        return min(range(len(tenant.tiers)), key=lambda index: tenant.tiers[index].service)
