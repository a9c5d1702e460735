"""A promise that cannot be kept takes nothing from others, and is not told as kept."""

from __future__ import annotations

from collections.abc import Sequence
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
    stamp,
    view_tenant,
)

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.replica import Figures
from treadle_api.tenant import Tenant
from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import TenantView
from treadle_operator.tenant_status import CounterOffer, TenantCondition, TenantStatus

PROFILES = [make_profile("m", 0.010)]  # 80 requests/s a device


def told(
    tenant: Tenant, *, admitted: bool = True, generation: int = 1, age: float = 5000.0, edited: bool = False
) -> TenantView:
    """A tenant that is served and was told whether it is admitted; `edited`: and asks for something else since."""
    status = ConditionStatus.TRUE if admitted else ConditionStatus.FALSE
    condition = Condition(TenantCondition.ADMITTED, status, "Placed", "", generation, stamp(NOW - age))
    return view_tenant(
        tenant, age=age, status=TenantStatus(conditions=(condition,)), generation=generation + int(edited)
    )


def planned(
    *served: tuple[TenantView, Sequence[str]],
    new: Sequence[Tenant] = (),
    nodes: int = 1,
    figures: dict[str, Figures] | None = None,
) -> Plan:
    replicas = [
        make_replica(view, place, figures=(figures or {}).get(view.tenant.name))
        for view, places in served
        for place in places
    ]
    views = [view for view, _ in served] + [view_tenant(tenant, age=0.0) for tenant in new]
    return plan(make_snapshot(views, [make_node(f"n{i}") for i in range(nodes)], replicas, PROFILES), Memory(), NOW)


def places(found: Plan, tenant: Tenant) -> list[str]:
    return [placement.place for placement in found.tenants[tenant.key].placements]


def tenant(name: str, rate: float | None, **options: object) -> Tenant:
    return make_tenant(name, ["m"], rate=rate, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [60.0, 1e6], ids=["too much beside others", "too much for any device"])
def test_an_edit_that_asks_for_too_much_closes_no_device_and_moves_nobody(rate: float) -> None:
    greedy, other, newcomer = tenant("greedy", rate), tenant("other", 50.0), tenant("new", 20.0)
    served = (told(greedy, age=9000.0, edited=True), ["n0/0"]), (told(other), ["n0/0"])
    found = planned(*served, new=[newcomer], figures={"greedy": make_figures(60 * 5)})
    assert found.tenants[greedy.key].verdict.reason == "InsufficientCapacity"
    assert found.tenants[other.key].verdict.reason == "Placed"
    assert places(found, newcomer) == ["n0/0"], "5 + 50 + 20 of 80 requests/s are there"
    assert found.devices["n0/0"].floor == pytest.approx(0.75)
    assert planned(*served, nodes=2).tenants[other.key].placements[0].place == "n0/0", (
        "it is not the other one that moves"
    )


def test_what_is_offered_instead_is_what_others_have_left() -> None:
    greedy, other = tenant("greedy", 60.0), tenant("other", 50.0)
    asked = planned((told(greedy, edited=True), ["n0/0"]), (told(other), ["n0/0"]))
    found = asked.tenants[greedy.key]
    assert found.verdict.counter_offer == CounterOffer(requests_per_second=24.0)
    assert "60 requests/s are more than n0/0 has left" in found.verdict.message
    assert places(asked, greedy) == ["n0/0"], "it is served as well as can be"


def test_whoever_finds_too_little_left_moves_to_where_there_is_enough() -> None:
    greedy, other = tenant("greedy", 60.0), tenant("other", 50.0)
    found = planned((told(greedy, edited=True), ["n0/0"]), (told(other), ["n0/0"]), nodes=2)
    assert places(found, greedy) == ["n1/0"]
    assert found.tenants[greedy.key].placements[0].cause == "DeviceOverloaded"
    assert found.tenants[greedy.key].verdict.admitted


def test_who_is_served_and_drew_near_to_the_limit_does_not_move_for_who_asks_for_more() -> None:
    near = [told(tenant("a", 45.0), age=9000.0), told(tenant("b", 45.0))]  # 0.9 of the device, as it turned out
    greedy = tenant("greedy", 1e6)
    found = planned(*((view, ["n0/0"]) for view in near), (told(greedy, edited=True), ["n0/0"]), nodes=2)
    assert [places(found, view.tenant) for view in near] == [["n0/0"], ["n0/0"]]


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ({"priority": 3}, {"priority": 5}, "second"),
        ({"priority": 5}, {"priority": 3}, "first"),
        ({}, {}, "second"),  # the younger
    ],
)
def test_where_devices_turn_out_slower_the_less_important_promise_is_told_as_broken(
    first: dict[str, object], second: dict[str, object], refused: str
) -> None:
    both = [told(tenant("first", 60.0, **first), age=9000.0), told(tenant("second", 60.0, **second))]
    found = planned(*((view, ["n0/0"]) for view in both))
    assert [one.tenant.name for one in both if not found.tenants[one.tenant.key].verdict.admitted] == [refused]


@pytest.mark.parametrize(("admitted", "kept"), [(True, True), (False, False)])
def test_what_was_refused_needs_room_to_spare_and_what_was_admitted_does_not(*, admitted: bool, kept: bool) -> None:
    both = [told(tenant("first", 50.0), age=9000.0), told(tenant("second", 45.0), admitted=admitted)]  # 0.95
    found = planned(*((view, ["n0/0"]) for view in both))
    assert found.tenants[both[1].tenant.key].verdict.admitted is kept


@pytest.mark.parametrize(("measured", "kept"), [(0.000548, True), (0.000650, True), (0.000670, False)])
def test_an_offer_that_was_taken_up_holds_though_the_model_is_measured_anew(*, measured: float, kept: bool) -> None:
    nodes, first = [make_node()], [make_profile("m", 0.000421)]
    greedy = view_tenant(tenant("greedy", 1999.4), age=0.0)
    refused = plan(make_snapshot([greedy], nodes, [], first), Memory(), NOW).tenants[greedy.tenant.key]
    offer = refused.verdict.counter_offer
    assert offer == CounterOffer(requests_per_second=1520.0)
    assert "1999.4 requests/s are too much" in refused.verdict.message
    assert "t0 takes 0.421 ms of gpu; possible" in refused.verdict.message
    taken = replace(greedy, tenant=tenant("greedy", 1520.0), generation=2, status=refused.status)
    admitted = plan(make_snapshot([taken], nodes, [], first), Memory(), NOW).tenants[taken.tenant.key]
    told_so = replace(taken, status=admitted.status)
    anew = [make_profile("m", measured)]
    snapshot = make_snapshot([told_so], nodes, [make_replica(told_so)], anew)
    verdict = plan(snapshot, Memory(), NOW).tenants[taken.tenant.key].verdict
    assert verdict.admitted is kept
    assert kept or f"t0 takes {measured * 1e3:g} ms of gpu by now" in verdict.message


def test_a_flood_that_nobody_was_promised_breaks_no_promise_in_the_books() -> None:
    flood, other = tenant("flood", None), tenant("other", 50.0)
    served = (told(flood, age=9000.0), ["n0/0"]), (told(other), ["n0/0"])
    found = planned(*served, figures={"flood": make_figures(60 * 90)})
    assert found.tenants[other.key].verdict.reason == "Placed"
    assert found.devices["n0/0"].floor == pytest.approx(1.4), "it is really there"


def test_who_gives_way_is_told_that_its_promise_is_broken_and_breaks_nobody_else_s() -> None:
    victim = tenant("victim", 100.0, priority=7, replicas=(1, 2))  # 50 on each of two devices
    third, urgent = tenant("third", 25.0, priority=7), tenant("urgent", 75.0, priority=1)
    served = (told(victim, age=9000.0), ["n0/0", "n1/0"]), (told(third), ["n1/0"])
    found = planned(*served, new=[urgent], nodes=2)
    assert places(found, urgent) == ["n0/0"]
    assert places(found, victim) == ["n1/0"]
    assert found.tenants[third.key].verdict.reason == "Placed"
    assert found.tenants[victim.key].verdict.reason == "InsufficientCapacity"
    later = planned((told(victim, age=9000.0), ["n1/0"]), (told(third), ["n1/0"]), (told(urgent), ["n0/0"]), nodes=2)
    assert later.tenants[third.key].verdict.reason == "Placed"
    assert later.tenants[victim.key].verdict.reason == "InsufficientCapacity"
    assert places(later, third) == ["n1/0"]


def test_a_newcomer_without_enough_devices_is_judged_without_what_it_had_been_given() -> None:
    new = tenant("new", 150.0, replicas=(1, 2))
    other = tenant("other", 40.0)
    found = planned((told(other), ["n1/0"]), new=[new], nodes=2)
    assert places(found, new) == []
    assert found.tenants[new.key].verdict.counter_offer == CounterOffer(requests_per_second=64.0)


def test_of_a_lost_device_s_tenants_the_load_is_remembered() -> None:
    lost, other = tenant("lost", None), tenant("other", 50.0)
    view = replace(told(lost), status=TenantStatus(requests_per_second=60.0))  # type: ignore[arg-type]
    replica = make_replica(view, "n9/0", figures=make_figures(60 * 60))
    snapshot = make_snapshot(
        [view, told(other)], [make_node(), make_node("n9", alive=False)], [replica, make_replica(told(other))], PROFILES
    )
    found = plan(snapshot, Memory(), NOW)
    assert found.tenants[lost.key].placements[0].place == "n9/0", "the other one's device has no room for it"


def test_an_edit_is_judged_as_a_newcomer_would_be() -> None:
    greedy, other = tenant("greedy", 50.0), tenant("other", 50.0)
    found = planned((told(greedy, age=9000.0, edited=True), ["n0/0"]), (told(other), ["n0/0"]))
    assert found.tenants[greedy.key].verdict.counter_offer == CounterOffer(requests_per_second=24.0)
    alone = planned((told(tenant("greedy", 90.0), edited=True), ["n0/0"]))
    assert alone.tenants[greedy.key].verdict.counter_offer == CounterOffer(requests_per_second=64.0)


def test_who_lacks_a_replica_has_all_of_its_load_where_it_is_from_the_start() -> None:
    half = tenant("half", 60.0, replicas=(2, 2))
    new = tenant("new", 40.0, priority=1)
    found = planned((told(half), ["n0/0"]), new=[new])
    assert found.tenants[half.key].verdict.reason == "Placed"
    assert places(found, new) == []
    assert found.tenants[new.key].verdict.counter_offer == CounterOffer(requests_per_second=16.0)


@pytest.mark.parametrize("rate", [320.0, 240.0, 210.0])
def test_nobody_gives_way_to_an_edit_that_is_refused_all_the_same(rate: float) -> None:
    victim = tenant("victim", 100.0, priority=7, replicas=(1, 2))
    greedy = tenant("greedy", rate, replicas=(1, 4))
    served = (told(victim), ["n0/0", "n1/0"]), (told(greedy, edited=True), ["n2/0"])
    found = planned(*served, nodes=3)
    assert sorted(places(found, victim)) == ["n0/0", "n1/0"]
    assert found.tenants[victim.key].verdict.reason == "Placed"
    assert found.tenants[greedy.key].verdict.reason == "InsufficientCapacity"


def test_nobody_gives_way_to_a_flood() -> None:
    victim = tenant("victim", 120.0, priority=7, replicas=(1, 2))
    flood = tenant("flood", 10.0, replicas=(1, 3))
    served = (told(victim), ["n0/0", "n1/0"]), (told(flood), ["n2/0"])
    found = planned(*served, nodes=3, figures={"flood": make_figures(60 * 200)})
    assert sorted(places(found, victim)) == ["n0/0", "n1/0"]
    assert found.tenants[victim.key].verdict.reason == "Placed"


@pytest.mark.parametrize(("declared", "seen"), [(None, 90), (10.0, 70), (10.0, 300)])
def test_a_flood_moves_no_neighbour(declared: float | None, seen: int) -> None:
    flood, other = tenant("flood", declared), tenant("other", 50.0)
    served = (told(flood, age=9000.0), ["n0/0"]), (told(other), ["n0/0"])
    found = planned(*served, nodes=2, figures={"flood": make_figures(60 * seen), "other": make_figures(60 * 40)})
    assert places(found, other) == ["n0/0"]
    assert places(found, flood) == (["n1/0"] if seen <= 80 else ["n0/0"])


def test_what_is_offered_to_who_is_served_holds_where_it_is() -> None:
    wide, other = tenant("wide", 1000.0, replicas=(2, 2)), tenant("other", 60.0)
    served = (told(wide, edited=True), ["n0/0", "n1/0"]), (told(other), ["n1/0"])
    offer = planned(*served, nodes=2).tenants[wide.key].verdict.counter_offer
    assert offer == CounterOffer(requests_per_second=32.0), "16 on each: they share it evenly"
    changed = tenant("wide", 32.0, replicas=(2, 2))
    taken = planned((told(changed, edited=True), ["n0/0", "n1/0"]), served[1], nodes=2)
    assert taken.tenants[wide.key].verdict.admitted
