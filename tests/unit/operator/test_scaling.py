"""How many replicas a load asks for: not before switching is used up, not less before that has lasted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from operator_objects import (
    NOW,
    make_figures,
    make_node,
    make_profile,
    make_replica,
    make_snapshot,
    make_tenant,
    view_tenant,
)

from treadle_api.replica import Figures
from treadle_api.units import Seconds
from treadle_operator.policy.capacity import Knowledge
from treadle_operator.policy.observation import read_tenants
from treadle_operator.policy.plan import LowLoad
from treadle_operator.policy.scaling import DOWN_AFTER, UP_AGAIN_AFTER, Target, target
from treadle_operator.snapshot import NodeView

PROFILES = [make_profile("large", 0.010), make_profile("small", 0.002)]  # 80 and 400 requests/s a device
NODES: list[NodeView] = [make_node(f"n{i}") for i in range(6)]


def decide(
    slots: int,
    figures: Figures | None = None,
    *,
    replicas: tuple[int, int] = (1, 4),
    rate: float | None = None,
    tier: str = "t0",
    age: float = 1000.0,
    low: LowLoad | None = None,
    now: float = NOW,
) -> Target:
    view = view_tenant(make_tenant(replicas=replicas, rate=rate))
    views = [make_replica(view, f"n{i}/0", figures=figures, tier=tier, age=age) for i in range(slots)]
    snapshot = make_snapshot([view], NODES, views, PROFILES)
    (state,), _ = read_tenants(snapshot)
    return target(state, Knowledge(snapshot).demand(view.tenant, "gpu"), slots, low, now)


@pytest.mark.parametrize(
    ("slots", "rate", "replicas", "wanted"),
    [
        (0, None, (1, 4), 1),
        (0, None, (3, 4), 3),
        (0, 390.0, (1, 4), 1),
        (0, 410.0, (1, 4), 2),
        (0, 9000.0, (1, 4), 4),
        (1, 410.0, (1, 4), 2),
        (1, None, (2, 4), 2),
        (4, None, (1, 2), 2),
        (3, 9000.0, (1, 2), 2),
    ],
)
def test_declared_loads_and_bounds(slots: int, rate: float | None, replicas: tuple[int, int], wanted: int) -> None:
    assert decide(slots, rate=rate, replicas=replicas).replicas == wanted


@pytest.mark.parametrize(
    ("each", "tier", "slots", "wanted"),
    [
        (100 * 60, "t1", 1, 1),  # the cheaper tier carries it
        (390 * 60, "t1", 1, 1),
        (500 * 60, "t1", 1, 2),
        (500 * 60, "t1", 2, 3),  # 1,000 a second in all
        (500 * 60, "t1", 4, 4),
    ],
)
def test_observed_loads(each: int, tier: str, slots: int, wanted: int) -> None:
    assert decide(slots, make_figures(each), tier=tier).replicas == wanted


@pytest.mark.parametrize(
    ("figures", "tier", "age", "wanted"),
    [
        (make_figures(6000, shed=600), "t1", 1000.0, 2),  # broken promises at the cheapest tier
        (make_figures(6000, shed=600), "t0", 1000.0, 1),  # switching is not used up
        (make_figures(6000, shed=600), "t1", UP_AGAIN_AFTER - 1, 1),  # figures are of before the last replica
        (make_figures(6000, shed=60), "t1", 1000.0, 1),  # within the error budget
        (make_figures(6000, shed=75), "t1", 1000.0, 1),  # by chance
        (make_figures(20, shed=9), "t1", 1000.0, 1),  # too few to say
        (make_figures(6000, error=600), "t1", 1000.0, 1),  # not for want of devices
    ],
)
def test_broken_promises_ask_for_one_more(figures: Figures, tier: str, age: float, wanted: int) -> None:
    assert decide(1, figures, tier=tier, age=age).replicas == wanted


def test_less_is_wanted_only_after_it_has_lasted() -> None:
    quiet = make_figures(10 * 60)
    first = decide(2, quiet)
    assert first == Target(2, 1, 1, low=LowLoad(NOW, 2), wake=NOW + DOWN_AFTER)
    assert decide(2, quiet, low=first.low, now=NOW + DOWN_AFTER - 1).replicas == 2
    last = decide(2, quiet, low=first.low, now=NOW + DOWN_AFTER)
    assert (last.replicas, last.low) == (1, first.low), "the timer stays until the replica has gone"
    assert decide(3, quiet, low=first.low, now=NOW + DOWN_AFTER).replicas == 3, "it was about another number"


@pytest.mark.parametrize(
    ("figures", "tier"),
    [
        (make_figures(100 * 60), "t0"),  # one could not carry 200 a second at the accurate tier
        (make_figures(10 * 60), "t1"),  # accuracy is given up now
        (make_figures(10 * 60, accuracy=94.0), "t0"),  # a fifth of the answers come from the other tier
        (make_figures(20 * 60, device_seconds=30.0), "t0"),  # measured: 25 ms each
    ],
)
def test_less_is_not_wanted_while_something_would_be_given_up(figures: Figures, tier: str) -> None:
    found = decide(2, figures, tier=tier, low=LowLoad(NOW - 2 * DOWN_AFTER, 2))
    assert (found.replicas, found.low) == (2, None)


def test_a_moment_s_switch_keeps_no_replica() -> None:
    figures = make_figures(10 * 60, accuracy=94.95)
    assert decide(2, figures, low=LowLoad(NOW - 2 * DOWN_AFTER, 2)).replicas == 1


def test_what_is_given_up_is_told_with_the_replica_that_is_to_end_it() -> None:
    found = decide(1, make_figures(500 * 60, accuracy=91.5), tier="t1")
    assert (
        found.message == "500 requests/s take 2 devices even at the cheapest tier, with 3.5 points of accuracy given up"
    )
    found = decide(1, make_figures(6000, shed=600, accuracy=90.0), tier="t1")
    assert found.message.endswith("although the cheapest tier answers, with 5 points of accuracy given up")


def test_a_number_once_reached_is_kept_by_the_load_that_asked_for_it() -> None:
    for rate in range(10, 1600, 10):
        wanted = decide(1, make_figures(rate * 60), tier="t1").replicas
        again = decide(wanted, make_figures(rate * 60 // wanted), tier="t1", low=LowLoad(0.0, wanted))
        assert again.replicas == wanted, f"{rate} requests/s make it flap"


def test_a_tier_that_answered_nobody_lately_gives_nothing_up() -> None:
    idle = decide(2, make_figures(0), tier="t1", low=LowLoad(NOW - DOWN_AFTER, 2))
    assert idle.replicas == 1


@pytest.mark.parametrize(("requests", "seconds", "wanted"), [(12, 0.02, 1), (60 * 500, 60.0, 2)])
def test_a_few_requests_in_a_short_window_ask_for_nothing(requests: int, seconds: float, wanted: int) -> None:
    figures = replace(make_figures(requests), window=Seconds(seconds))  # both more than one device can do
    assert decide(1, figures, tier="t1").replicas == wanted
