"""The paper's spike, compressed, through the real policies: the promises that the whole simulation is held to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from treadle.simulate.model_switching.arrivals import PAPER_RATES, parse_rates, poisson_load
from treadle.simulate.model_switching.contenders import Device, Scenario, contenders
from treadle.simulate.model_switching.figures import parallel
from treadle.simulate.model_switching.neighbours import BURST, neighbour
from treadle.simulate.model_switching.report import ALGORITHM1, SINGLE, SLACK_BUCKETS, STICKY, Report, Row
from treadle.simulate.model_switching.study import Study
from treadle.simulate.model_switching.tiers import RESNETS

BASE = Scenario(0.75)
COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results" / "model-switching.json"


@pytest.fixture(name="study", scope="module")
def _study() -> Study:
    rates = parse_rates(PAPER_RATES, 300.0)
    return Study(Device(RESNETS, 4), [poisson_load(rates, 0)], rates.spike)


def row(study: Study, policy: str, scenario: Scenario) -> Row:
    (found,) = study.rows(scenario, lambda _: None, {policy: contenders(study.device, scenario)[policy]})
    return found


def best_single(study: Study, scenario: Scenario) -> float:
    return max(row(study, f"{SINGLE}{tier.name}", scenario).effective_accuracy for tier in RESNETS)


def test_the_default_earns_what_the_best_mix_would_and_keeps_its_promise(study: Study) -> None:
    found = row(study, STICKY, BASE)
    assert found.violation_ratio <= 0.001
    assert -0.3 <= found.effective_accuracy - study.bound(BASE) <= 0.1
    assert found.switches_per_request <= 0.01
    assert found.first_degradation_s is not None
    assert found.first_degradation_s <= 1.0


def test_algorithm_1_beats_the_best_single_tier(study: Study) -> None:
    found = row(study, ALGORITHM1, BASE)
    assert found.effective_accuracy >= best_single(study, BASE) + 2.0
    assert found.violation_ratio <= 0.001


def test_under_a_tight_deadline_the_default_keeps_what_algorithm_1_loses(study: Study) -> None:
    tight = Scenario(0.25)
    found, paper = row(study, STICKY, tight), row(study, ALGORITHM1, tight)
    assert found.effective_accuracy >= paper.effective_accuracy + 0.8
    assert found.violation_ratio <= 0.001 < paper.violation_ratio


@pytest.mark.parametrize("error", [1.3, 1.6])
def test_a_stale_profile_is_corrected(study: Study, error: float) -> None:
    stale = Scenario(0.75, profile_error=error)
    found = row(study, STICKY, stale)
    assert found.violation_ratio <= 0.005
    assert found.effective_accuracy >= study.bound(stale) - 0.3


def test_a_costly_switch_is_made_rarely(study: Study) -> None:
    costly = Scenario(0.75, switch_cost=0.5)
    found = row(study, STICKY, costly)
    assert found.violation_ratio <= 0.02
    assert found.effective_accuracy >= best_single(study, costly) - 1.5
    assert found.switches_per_request <= 0.003


def test_a_neighbour_s_burst_is_the_neighbour_s() -> None:
    device = Device(RESNETS, 4)
    quiet, burst = (neighbour(device, 0.75, factor, 1) for factor in (1.0, BURST))
    assert abs(burst.violation_ratio - quiet.violation_ratio) <= 0.005
    assert burst.loud_violation_ratio > 0.01  # it is more than the device can answer


def test_the_search_finds_the_published_parallelism() -> None:
    assert {(one.replicas, one.threads) for one in parallel(Device(RESNETS, 4), 0.75)} == {(4, 4)}


@pytest.mark.parametrize(
    ("policy", "scenario"),
    [
        (STICKY, BASE),
        (STICKY, Scenario(0.25)),
        (STICKY, Scenario(0.75, profile_error=1.6)),
        (STICKY, Scenario(0.75, switch_cost=0.5)),
        (ALGORITHM1, BASE),
        (SLACK_BUCKETS, BASE),
    ],
)
def test_the_committed_figures_are_what_the_policies_earn_today(study: Study, policy: str, scenario: Scenario) -> None:
    committed = msgspec.json.decode(COMMITTED.read_bytes(), type=Report)
    key = policy, 1e3 * scenario.deadline, scenario.profile_error, 1e3 * scenario.switch_cost
    (then,) = (
        one for one in committed.rows if (one.policy, one.deadline_ms, one.profile_error, one.switch_cost_ms) == key
    )
    found = row(study, policy, scenario)
    assert found.effective_accuracy == pytest.approx(then.effective_accuracy_by_seed[0], abs=0.02), "make switching"
