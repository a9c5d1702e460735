"""The simulated servers, the scoring, the bound and the placement, on cases that can be worked out by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.simulate.model_switching.engine import Asked, Dispatch, Plant, Played, play, spread
from treadle.simulate.model_switching.fluid import best_mix, fluid_bound
from treadle.simulate.model_switching.placement import HEADROOM, WINDOW, Placement, solve
from treadle.simulate.model_switching.scoring import score
from treadle.simulate.model_switching.tails import measured_tails, scaled_service
from treadle.simulate.model_switching.tiers import RESNETS

ACCURACIES = tuple(tier.accuracy for tier in RESNETS)
SATURATIONS = tuple(tier.saturation for tier in RESNETS)


class Scripted:
    """First come first served at the tiers of a script."""

    switches = 3

    def __init__(self, tiers: Sequence[int]) -> None:
        self.tiers = list(tiers)
        self.queue: list[Asked] = []
        self.took: list[tuple[int, int, float]] = []

    def arrive(self, request: Asked) -> None:
        self.queue.append(request)

    def dispatch(self, free: Sequence[int], now: float) -> Dispatch | None:  # noqa: ARG002 - a Dispatcher
        if not self.queue:
            return None
        request = self.queue.pop(0)
        return Dispatch(free[0], request, self.tiers[request.request])

    def finished(self, request: Asked, tier: int, seconds: float) -> None:
        self.took.append((request.request, tier, seconds))


def ask(*arrivals: float, deadline: float = 1.0) -> list[Asked]:
    return [Asked(index, arrival, arrival + deadline) for index, arrival in enumerate(arrivals)]


def test_servers_take_one_request_each_and_pay_for_a_change_of_tier() -> None:
    script = Scripted([0, 1, 0])
    played = play(ask(0.0, 0.0, 0.0), [1.0, 1.0, 2.0], Plant(2, (0.4, 0.1), switch_cost=0.5), script)
    assert played.begin.tolist() == [0.0, 0.0, 0.4]
    assert played.end.tolist() == pytest.approx([0.4, 0.6, 1.2])
    assert script.took == [(0, 0, 0.4), (1, 1, 0.1), (2, 0, 0.8)]


def test_late_and_dropped_requests_count_nothing() -> None:
    played = Played(
        ask(0.0, 1.0, 2.0, 3.0),
        tier=np.array([0, 1, 0, -1], np.int16),
        begin=np.array([0.0, 1.0, 2.0, np.inf]),
        end=np.array([0.5, 1.5, 9.0, np.inf]),
        switches=2,
    )
    found = score(played, (80.0, 60.0), spike=0.5)
    assert found.effective_accuracy == pytest.approx(35.0)
    assert found.accuracy_of_answered == pytest.approx(70.0)
    assert (found.violation_ratio, found.shed_ratio, found.switches_per_request) == (0.5, 0.25, 0.5)
    assert found.first_degradation == pytest.approx(0.5)
    assert score(played, (80.0, 60.0), spike=1.5).first_degradation is None


def test_the_fluid_bound_of_the_paper_s_load() -> None:
    rates = np.repeat([35.0, 55.0, 165.0, 140.0, 90.0, 50.0], [60, 65, 15, 25, 35, 100])
    assert fluid_bound(rates, ACCURACIES, SATURATIONS) == pytest.approx(77.2815, abs=1e-4)
    assert best_mix(62.0, ACCURACIES, SATURATIONS) == pytest.approx(62 * 78.31)
    assert best_mix(1e4, ACCURACIES, SATURATIONS) == pytest.approx(322 * 69.76)


@given(st.floats(1.0, 500.0), st.integers(0, 4))
def test_no_tier_alone_beats_the_fluid_bound(rate: float, tier: int) -> None:
    alone = min(rate, SATURATIONS[tier]) * ACCURACIES[tier]
    assert best_mix(rate, ACCURACIES, SATURATIONS) >= alone - 1e-6


@given(st.floats(1.0, 250.0))
def test_a_placement_uses_its_servers_and_stays_within_their_headroom(rate: float) -> None:
    services = [4 / saturation for saturation in SATURATIONS]
    servers, rates = solve(rate, ACCURACIES, services, 4)
    assert sum(servers) == 4
    assert sum(rates) <= rate + 1e-6
    for count, dealt, service in zip(servers, rates, services, strict=True):
        assert dealt <= HEADROOM * count / service + 1e-6


def test_a_placement_follows_the_rate_a_window_later() -> None:
    services = [4 / saturation for saturation in SATURATIONS]
    placement = Placement(ACCURACIES, services, 4)
    requests = ask(*np.arange(0.0, 2 * WINDOW, 1 / 150).tolist(), deadline=0.5)
    played = play(requests, [1.0] * len(requests), Plant(4, tuple(services)), placement)
    assert set(played.tier[played.begin < WINDOW].tolist()) == {0}
    first = np.array([one.arrival < WINDOW for one in requests])
    timely = played.end <= np.array([one.deadline for one in requests])
    assert timely[first].mean() < 0.5
    assert timely[~first].mean() > 0.95
    assert 1 <= placement.switches <= 4


def test_service_times_spread_evenly_around_their_mean() -> None:
    factors = spread(20_000, 1)
    assert factors.mean() == pytest.approx(1.0, abs=0.002)
    assert factors.std() == pytest.approx(0.05, abs=0.003)
    assert not np.array_equal(factors, spread(20_000, 2))


def test_tails_grow_with_the_load_and_are_those_of_a_queue() -> None:
    loads = (0.1, 0.5, 0.8)
    for load, tail in zip(loads, measured_tails(1, loads), strict=True):
        assert wait_within(tail - 1.0, load) == pytest.approx(0.99, abs=0.003)


def wait_within(wait: float, load: float) -> float:
    """The share of waits up to `wait` services in M/D/1 (Erlang 1909)."""
    terms = ((load * (k - wait)) ** k / math.factorial(k) * math.exp(load * (wait - k)) for k in range(int(wait) + 1))
    return (1.0 - load) * sum(terms)


def test_more_threads_make_a_request_faster_and_more_replicas_slower() -> None:
    known = (4, 4)
    assert scaled_service(0.1, known, (4, 4)) == pytest.approx(0.1)
    assert scaled_service(0.1, known, (1, 16)) < 0.1 < scaled_service(0.1, known, (16, 1))
