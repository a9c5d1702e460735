"""Which of the devices that have room is taken, and who gives way where none has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from operator_objects import (
    MIB,
    NOW,
    make_device,
    make_node,
    make_profile,
    make_replica,
    make_snapshot,
    make_tenant,
    view_tenant,
)

from treadle_api.tenant import Tenant
from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import NodeView, Taint, TaintEffect

BATCHES = [(2, 0.011), (8, 0.016)]
PROFILES = [
    make_profile("large", 0.010, architecture="L", batches=BATCHES),
    make_profile("twin", 0.010, architecture="L", batches=BATCHES),
    make_profile("other", 0.010, architecture="O"),
    make_profile("slow", 0.300),
    make_profile("quick", 0.001),
    make_profile("big", 0.001, memory=600 * MIB),
]


def planned(
    new: Tenant, served: Sequence[tuple[Tenant, Iterable[str]]] = (), nodes: Iterable[NodeView] | None = None
) -> Plan:
    """The plan for a new tenant where others are served at the places given."""
    views = [(view_tenant(tenant, age=5000.0), places) for tenant, places in served]
    replicas = [make_replica(view, place) for view, places in views for place in places]
    some = [make_node(f"n{i}") for i in range(3)] if nodes is None else nodes
    tenants = [view for view, _ in views] + [view_tenant(new, age=0.0)]
    return plan(make_snapshot(tenants, some, replicas, PROFILES), Memory(), NOW)


def places(found: Plan, tenant: Tenant) -> list[str]:
    return [placement.place for placement in found.tenants[tenant.key].placements]


def test_the_emptiest_device_is_taken() -> None:
    new = make_tenant("new", ["other"])
    busy = [(make_tenant("a", ["large"], rate=20.0), ["n0/0"]), (make_tenant("b", ["large"], rate=10.0), ["n1/0"])]
    assert places(planned(new, busy), new) == ["n2/0"]


def test_tenants_of_one_architecture_go_together_while_that_costs_little() -> None:
    new = make_tenant("new", ["twin"], rate=5.0)
    like = [(make_tenant("a", ["large"], rate=10.0), ["n1/0"])]
    assert places(planned(new, like), new) == ["n1/0"]
    crowded = [(make_tenant("a", ["large"], rate=60.0), ["n1/0"])]
    assert places(planned(new, crowded), new) == ["n0/0"]


def test_merging_makes_room_that_would_not_be_there() -> None:
    one = [make_node("n0")]
    there = [(make_tenant("a", ["large"], rate=60.0), ["n0/0"])]
    twin, other = make_tenant("new", ["twin"], rate=60.0), make_tenant("new", ["other"], rate=60.0)
    assert places(planned(twin, there, one), twin) == ["n0/0"]
    assert places(planned(other, there, one), other) == []


def test_replicas_go_to_different_nodes_first() -> None:
    new = make_tenant("new", ["other"], replicas=(3, 3))
    nodes = [make_node("n0", [make_device("0"), make_device("1")]), make_node("n1", [make_device("0")])]
    busy = [(make_tenant("a", ["large"], rate=30.0), ["n1/0"])]
    assert places(planned(new, busy, nodes), new) == ["n0/0", "n1/0", "n0/1"]


def test_a_node_that_asks_to_prefer_others_comes_last() -> None:
    new = make_tenant("new", ["other"])
    nodes = [make_node("n0", taints=[Taint("old", "", TaintEffect.PREFER_NO_SCHEDULE)]), make_node("n1")]
    assert places(planned(new, nodes=nodes), new) == ["n1/0"]


def test_a_short_deadline_keeps_away_from_long_requests() -> None:
    new = make_tenant("new", ["quick"], deadline=0.05)
    long = [(make_tenant("a", ["slow"], deadline=10.0, rate=0.1), ["n0/0"])]
    busier = [(make_tenant("b", ["large"], rate=10.0), ["n1/0"])]
    nodes = [make_node("n0"), make_node("n1")]
    assert places(planned(new, long + busier, nodes), new) == ["n1/0"]


def test_memory_counts_where_time_does_not_differ() -> None:
    new = make_tenant("new", ["other"])
    nodes = [make_node("n0"), make_node("n1")]
    assert places(planned(new, [(make_tenant("a", ["big"], rate=0.001), ["n0/0"])], nodes), new) == ["n1/0"]


@pytest.mark.parametrize("count", [1, 5])
def test_places_do_not_depend_on_names_of_tenants_but_on_importance_and_age(count: int) -> None:
    tenants = [make_tenant(f"z{i}", [f"big{i}"], priority=1 + i) for i in range(count)]
    views = [view_tenant(tenant, age=float(i)) for i, tenant in enumerate(tenants)]
    profiles = [make_profile(f"big{i}", 0.001, memory=600 * MIB) for i in range(count)]
    found = plan(make_snapshot(views, [make_node("n0")], (), profiles), Memory(), NOW)
    admitted = [name for name, one in found.tenants.items() if one.placements]
    assert admitted == ["z0.default"], "the most important one has the room, though it is the youngest"


def spare(name: str, priority: int, places_: Sequence[str], least: int = 1) -> tuple[Tenant, Sequence[str]]:
    return make_tenant(name, ["big"], priority=priority, replicas=(least, 3), rate=1500.0), places_


@pytest.mark.parametrize(
    ("served", "where"),
    [
        ([spare("a", 9, ["n0/0", "n1/0"]), spare("b", 7, ["n2/0"])], "n0/0"),
        ([spare("a", 7, ["n0/0", "n1/0"]), spare("b", 9, ["n2/0"])], "n0/0"),  # b has but one
        ([spare("a", 7, ["n0/0", "n1/0"]), spare("b", 9, ["n2/0", "n3/0"])], "n2/0"),  # the least important first
        ([spare("a", 9, ["n0/0", "n1/0"], least=2), spare("b", 7, ["n2/0", "n3/0"])], "n2/0"),  # a is at its floor
        ([spare("a", 2, ["n0/0", "n1/0"]), spare("b", 2, ["n2/0"])], None),  # equals do not give way
        ([spare("a", 1, ["n0/0", "n1/0"]), spare("b", 9, ["n2/0"])], None),
    ],
)
def test_who_gives_way_for_a_more_important_tenant(served, where: str | None) -> None:
    new = make_tenant("new", ["big2"], priority=2)
    profiles = [*PROFILES, make_profile("big2", 0.001, memory=600 * MIB)]
    nodes = [make_node(f"n{i}") for i in range(sum(len(places_) for _, places_ in served))]
    views = [(view_tenant(tenant, age=5000.0), places_) for tenant, places_ in served]
    replicas = [make_replica(view, place) for view, places_ in views for place in places_]
    tenants = [view for view, _ in views] + [view_tenant(new, age=0.0)]
    found = plan(make_snapshot(tenants, nodes, replicas, profiles), Memory(), NOW)
    assert places(found, new) == ([] if where is None else [where])
    given_up = {place: note for one in found.tenants.values() for place, note in one.given_up.items()}
    assert list(given_up) == ([] if where is None else [where])
    if where is not None:
        assert given_up[where].reason == "Preempted"
        assert "new.default of priority 2" in given_up[where].message
        assert found.tenants[new.key].placements[0].waits_for == "memory that others are giving back"


def test_nobody_gives_way_for_a_tenant_that_would_need_more_than_that() -> None:
    donor = spare("a", 9, ["n0/0", "n1/0"])  # one to spare, and each takes three quarters of a device
    new = make_tenant("new", ["large"], priority=1, rate=150.0, replicas=(1, 3))  # needs two
    found = planned(new, [donor], [make_node("n0"), make_node("n1")])
    assert places(found, new) == []
    assert found.tenants[new.key].verdict.reason == "InsufficientCapacity"
    assert sorted(places(found, donor[0])) == ["n0/0", "n1/0"]
    assert not found.tenants[donor[0].key].given_up
    assert found.devices["n0/0"].floor == found.devices["n1/0"].floor
