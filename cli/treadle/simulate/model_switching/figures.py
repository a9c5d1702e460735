"""What the plots need beside the rows: tiers and tails by load, and one run second by second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from treadle.simulate.model_switching.arrivals import Load, Rates, poisson_load
from treadle.simulate.model_switching.contenders import Device, Make, Scenario, contenders
from treadle.simulate.model_switching.engine import NOBODY, Played, play, spread
from treadle.simulate.model_switching.report import ALGORITHM1, SINGLE, STICKY, Curve, Figures, Parallel
from treadle.simulate.model_switching.scoring import in_time, score
from treadle.simulate.model_switching.study import Study, ask
from treadle.simulate.model_switching.tails import scaled_service, tail_curve
from treadle.simulate.model_switching.tiers import RESNET_CORES, RESNET_SERVERS
from treadle_agent.policy.algorithm1 import Parallelism, TailCurve, search

PAIRS = tuple(Parallelism(1 << power, RESNET_CORES >> power) for power in range(5))
_KNOWN = (RESNET_SERVERS, RESNET_CORES // RESNET_SERVERS)
_LONGEST_LOAD, _LOADS = 60.0, 24  # seconds of each steady load, unless the study is shorter; so many loads
_QUANTILES = np.linspace(0.0, 1.0, 201)


def figures(study: Study, scenario: Scenario) -> Figures:
    """Of the first seed of a study, in one scenario."""
    found = contenders(study.device, scenario)
    singles = [name for name in found if name.startswith(SINGLE)]
    played = {name: study.play(0, found[name], scenario) for name in (STICKY, ALGORITHM1, *singles)}
    load = study.loads[0]
    steady = min(_LONGEST_LOAD, float(len(load.per_second)))
    return Figures(
        load_accuracy=tuple(_load_accuracy(study.device, scenario, name, found[name], steady) for name in singles),
        tails=tuple(
            Curve(f"⟨{pair.replicas}, {pair.threads}⟩", _rounded(curve.rates), _rounded(curve.seconds))
            for pair, curve in _pair_curves(study.device.profile[0]).items()
        ),
        offered=_curve("offered", np.arange(len(load.per_second)), _per_second(load, load.times)),
        timeline={name: _timeline(study.device, load, played[name]) for name in (STICKY, ALGORITHM1)},
        latency=tuple(_latency(name, one) for name, one in played.items()),
    )


def parallel(device: Device, deadline: float) -> list[Parallel]:
    """Algorithm 1's offline search for each tier, on the published cores."""
    found = []
    for tier, service in zip(device.tiers, device.profile, strict=True):
        curves = _pair_curves(service)
        best = search(curves, RESNET_CORES, deadline)
        rate = round(curves[best].sustains(deadline), 2)
        found.append(Parallel(tier.name, 1e3 * deadline, best.replicas, best.threads, rate))
    return found


def _pair_curves(service: float) -> dict[Parallelism, TailCurve]:
    return {
        pair: tail_curve(scaled_service(service, _KNOWN, (pair.replicas, pair.threads)), pair.replicas)
        for pair in PAIRS
    }


def _load_accuracy(device: Device, scenario: Scenario, name: str, make: Make, seconds: float) -> Curve:
    """Effective accuracy of one policy under steady Poisson loads, each for so many seconds."""
    rates = np.linspace(0.0, 1.05 * max(tier.saturation for tier in device.tiers), _LOADS + 1)[1:]
    earned = []
    for seed, rate in enumerate(rates.tolist()):
        requests = ask(poisson_load(Rates(((0.0, rate),), seconds), seed), scenario.deadline)
        run = play(requests, spread(len(requests), seed).tolist(), device.plant(scenario), make())
        earned.append(score(run, device.accuracies, None).effective_accuracy)
    return _curve(name, rates, earned)


def _timeline(device: Device, load: Load, played: Played) -> tuple[Curve, ...]:
    seconds = np.arange(len(load.per_second))
    timely = in_time(played)
    layers = [
        _curve(tier.name, seconds, _per_second(load, load.times[timely & (played.tier == index)]))
        for index, tier in enumerate(device.tiers)
    ]
    return (*layers, _curve("late or shed", seconds, _per_second(load, load.times[~timely])))


def _latency(name: str, played: Played) -> Curve:
    """Percent of all requests that were answered within so many milliseconds."""
    arrivals = np.array([request.arrival for request in played.requests])
    begun = played.tier != NOBODY
    answered = np.quantile(1e3 * (played.end - arrivals)[begun], _QUANTILES)
    return _curve(name, answered, 100.0 * begun.mean() * _QUANTILES)


def _per_second(load: Load, times: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.asarray(np.histogram(times, np.arange(len(load.per_second) + 1))[0])


def _curve(
    label: str, x: Sequence[float] | npt.NDArray[np.generic], y: Sequence[float] | npt.NDArray[np.generic]
) -> Curve:
    return Curve(label, _rounded(x), _rounded(y))


def _rounded(values: Sequence[float] | npt.NDArray[np.generic]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
