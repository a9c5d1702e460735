"""The largest load that each way of sharing carries: goodput at 99 %."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from treadle.simulate.goodput.architectures import Architecture
from treadle.simulate.goodput.comparators import DynamicBatching, EarliestDeadline
from treadle.simulate.goodput.play import Outcome, arrivals, play
from treadle.simulate.goodput.report import Row
from treadle.simulate.multiplexing.networks import gru, mobilenet, resnet
from treadle_agent.executor.gpu_model import Gpu, GpuModel
from treadle_agent.policy.comparators import Exclusive, Spatial, TimeSliced
from treadle_agent.policy.scheduling import Scheduler, SpaceTime

OBJECTIVE = 0.99
MIX = "mixed"
DRAWS = 5  # of arrivals, the median of which is told: near its limit a queue either recovers from a crowd or does not
STEPS = 5  # of bisection: a factor of 2 ** (1 / 32), 2 %
_QUANTUM = 0.002  # seconds: the executor's own
_PROBLEMS = 64
_THREADS = 15  # launches at once in mode space: the executor's own limit


@dataclass(frozen=True, slots=True)
class Way:
    """A way to share the device; `lanes`: launches that it keeps on the device at once."""

    make: Callable[[], Scheduler]
    lanes: int = 1


OURS = "space-time"
ALSO_OURS = "undelayed"  # space-time that never holds a launch back
WAYS: Mapping[str, Way] = {
    "exclusive": Way(lambda: Exclusive(max_problems=_PROBLEMS)),
    "time": Way(lambda: TimeSliced(max_problems=_PROBLEMS)),
    "space": Way(lambda: Spatial(max_problems=_PROBLEMS), _THREADS),
    OURS: Way(lambda: SpaceTime(max_problems=_PROBLEMS, quantum=_QUANTUM)),
    ALSO_OURS: Way(lambda: SpaceTime(max_problems=_PROBLEMS, quantum=_QUANTUM, delays=False)),
    "no-delay EDF": Way(lambda: EarliestDeadline(max_problems=1)),
    "dynamic batching": Way(lambda: DynamicBatching(max_problems=1)),
}


def settings(gpu: Gpu) -> Mapping[str, Sequence[Architecture]]:
    """Each network alone, and all of them mixed: tenants take them in turn."""
    model = GpuModel(gpu)
    all_ = [Architecture(model, network) for network in (resnet(18), resnet(50), mobilenet(), gru())]
    return {**{one.name: [one] for one in all_}, MIX: all_}


def study(
    chosen: Mapping[str, Sequence[Architecture]], counts: Sequence[int], requests: int, seed: int,
    tell: Callable[[str], None],
) -> Iterable[Row]:  # fmt: skip
    """Every setting, number of tenants and way."""
    for name, architectures in chosen.items():
        for count in counts:
            tell(f"{count} tenants of {name}")
            tenants = [architectures[index % len(architectures)] for index in range(count)]
            yield from (row(name, tenants, way, requests, seed) for way in WAYS)


def row(name: str, tenants: Sequence[Architecture], way: str, requests: int, seed: int) -> Row:
    """What one way carries: the median over `DRAWS` draws of the arrivals, from `seed` on."""
    draws = [goodput(WAYS[way], tenants, requests, seed + draw) for draw in range(DRAWS)]
    rate, outcome = sorted(draws, key=itemgetter(0))[DRAWS // 2]
    return Row(name, len(tenants), way, rate, outcome.problems / outcome.launches if outcome.launches else 0.0)


def goodput(way: Way, tenants: Sequence[Architecture], requests: int, seed: int) -> tuple[float, Outcome]:
    """Requests a second, by bisection, of which the objective's share is answered in time, and what happened there.

    The load is open: Poisson, the same draws for every way.
    """
    allowed = int((1 - OBJECTIVE) * requests)

    def offered(rate: float) -> Outcome:
        return play(way.make, way.lanes, tenants, arrivals(tenants, rate, requests, seed), allowed)

    mean = sum(one.service for one in tenants) / len(tenants)
    low, best = 0.0, Outcome(requests, 0, 0, 0)
    high = 1 / (8 * mean)
    while (outcome := offered(high)).good >= OBJECTIVE * requests:
        low, best, high = high, outcome, 2 * high
    if not low:
        return 0.0, best
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        outcome = offered(middle)
        if outcome.good >= OBJECTIVE * requests:
            low, best = middle, outcome
        else:
            high = middle
    return low, best
