"""Scenarios by policies by seeds: the same arrivals and the same service times for all policies of a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from treadle.simulate.model_switching.arrivals import Load
from treadle.simulate.model_switching.contenders import Device, Make, Scenario, contenders
from treadle.simulate.model_switching.engine import Asked, Played, play, spread
from treadle.simulate.model_switching.fluid import fluid_bound
from treadle.simulate.model_switching.report import Row
from treadle.simulate.model_switching.scoring import Score, score

Announce = Callable[[str], None]
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Study:
    """`loads`: the arrivals of each seed; `spike`: when their rate rises most, None where it is not known."""

    device: Device
    loads: Sequence[Load]
    spike: float | None

    def rows(self, scenario: Scenario, announce: Announce, only: Mapping[str, Make] | None = None) -> list[Row]:
        """A row for each policy (all, or `only` these) in `scenario`."""
        announce(describe(scenario))
        return [self._row(name, make, scenario) for name, make in (only or contenders(self.device, scenario)).items()]

    def bound(self, scenario: Scenario) -> float:
        """The fluid bound of a scenario, percent, mean over seeds."""
        saturations = [tier.saturation / scenario.profile_error for tier in self.device.tiers]
        bounds = [fluid_bound(load.per_second, self.device.accuracies, saturations) for load in self.loads]
        return round(float(np.mean(bounds)), _DIGITS)

    def play(self, seed: int, make: Make, scenario: Scenario) -> Played:
        """One run."""
        requests = ask(self.loads[seed], scenario.deadline)
        return play(requests, spread(len(requests), seed).tolist(), self.device.plant(scenario), make())

    def _row(self, name: str, make: Make, scenario: Scenario) -> Row:
        played = (self.play(seed, make, scenario) for seed in range(len(self.loads)))
        return to_row(name, scenario, [score(one, self.device.accuracies, self.spike) for one in played])


def ask(load: Load, deadline: float) -> list[Asked]:
    """The requests of one tenant."""
    return [Asked(index, arrival, arrival + deadline) for index, arrival in enumerate(load.times.tolist())]


def describe(scenario: Scenario) -> str:
    """A scenario for people."""
    parts = [f"deadline {1e3 * scenario.deadline:g} ms"]
    if scenario.profile_error != 1.0:
        parts.append(f"service {scenario.profile_error:g}× its profile")
    if scenario.switch_cost:
        parts.append(f"{1e3 * scenario.switch_cost:g} ms to switch a server")
    return ", ".join(parts)


def to_row(name: str, scenario: Scenario, scores: Sequence[Score]) -> Row:
    """Means over seeds; the longest first degradation."""
    degradations = [one.first_degradation for one in scores if one.first_degradation is not None]
    return Row(
        policy=name,
        deadline_ms=round(1e3 * scenario.deadline, _DIGITS),
        profile_error=scenario.profile_error,
        switch_cost_ms=round(1e3 * scenario.switch_cost, _DIGITS),
        effective_accuracy=_mean([one.effective_accuracy for one in scores]) or 0.0,
        accuracy_of_answered=_mean([one.accuracy_of_answered for one in scores]),
        violation_ratio=_mean([one.violation_ratio for one in scores]) or 0.0,
        shed_ratio=_mean([one.shed_ratio for one in scores]) or 0.0,
        switches_per_request=_mean([one.switches_per_request for one in scores]) or 0.0,
        first_degradation_s=round(max(degradations), _DIGITS) if degradations else None,
        p99_ms=_mean([None if one.p99 is None else 1e3 * one.p99 for one in scores]),
        effective_accuracy_by_seed=tuple(round(one.effective_accuracy, _DIGITS) for one in scores),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), _DIGITS) if known else None
