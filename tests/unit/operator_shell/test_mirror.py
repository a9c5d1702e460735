"""Whichever news of an object is later counts, from wherever and in whatever order it comes."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from treadle_operator.kube import kinds
from treadle_operator.mirror import Mirror

Manifest = dict[str, Any]
Make = Callable[..., Manifest]


class Wakes:
    """Counts how often a plan was asked for."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def mirror(wakes: Wakes) -> Mirror:
    return Mirror(wakes)


def deadline(mirror: Mirror) -> float:
    return mirror.snapshot(1, frozenset()).tenants["digits.team"].tenant.slo.deadline


def edited(tenant: Make, milliseconds: int) -> Manifest:
    return tenant(slo={"deadline": f"{milliseconds}ms"})


def test_in_any_order_the_latest_state_stays(tenant: Make, stored: Make) -> None:
    states = [stored(edited(tenant, 100 * version), version=version) for version in (1, 2, 3)]
    for order in itertools.permutations(states):
        mirror = Mirror(lambda: None)
        for state in order:
            mirror.take(kinds.TENANTS, state)
        assert deadline(mirror) == 0.3


def test_an_answer_that_the_watch_repeats_asks_for_no_second_plan(
    mirror: Mirror, wakes: Wakes, tenant: Make, stored: Make
) -> None:
    written = stored(tenant(), version=5)
    mirror.take(kinds.TENANTS, written)
    assert wakes.count == 1
    mirror.take(kinds.TENANTS, written)
    mirror.take(kinds.TENANTS, stored(edited(tenant, 900), version=4))  # the watch is behind
    assert wakes.count == 1
    assert deadline(mirror) == 0.1


def test_a_change_of_nothing_that_matters_asks_for_no_plan(mirror: Mirror, wakes: Wakes, stored: Make) -> None:
    node: Manifest = {"metadata": {"name": "a", "labels": {"zone": "b"}}, "spec": {}}
    mirror.take(kinds.CORE_NODES, stored(node))
    mirror.take(kinds.CORE_NODES, stored(node | {"status": {"images": ["one more"]}}))
    assert wakes.count == 1


def test_a_deleted_object_stays_deleted_whatever_is_still_said_of_it(
    mirror: Mirror, wakes: Wakes, tenant: Make, stored: Make
) -> None:
    mirror.take(kinds.TENANTS, stored(tenant(), version=5))
    mirror.remove(kinds.TENANTS, "team/digits", "uid-digits")
    mirror.take(kinds.TENANTS, stored(tenant(), version=6))
    assert not mirror.snapshot(1, frozenset()).tenants
    assert wakes.count == 2


def test_deleted_before_it_was_seen(mirror: Mirror, tenant: Make, stored: Make) -> None:
    mirror.remove(kinds.TENANTS, "team/digits", "uid-digits", 7)
    mirror.take(kinds.TENANTS, stored(tenant(), version=6))
    assert not mirror.snapshot(1, frozenset()).tenants


def test_an_object_created_anew_is_another(mirror: Mirror, tenant: Make, stored: Make) -> None:
    mirror.take(kinds.TENANTS, stored(tenant(), uid="first", version=5))
    mirror.take(kinds.TENANTS, stored(edited(tenant, 200), uid="second", version=9))
    mirror.remove(kinds.TENANTS, "team/digits", "first", 8)
    mirror.take(kinds.TENANTS, stored(tenant(), uid="first", version=7))
    assert mirror.uid(kinds.TENANTS, "team/digits") == "second"
    assert deadline(mirror) == 0.2


def test_out_of_sight_is_not_gone_for_ever(mirror: Mirror, stored: Make) -> None:
    service: Manifest = {"metadata": {"name": "digits-treadle", "namespace": "team"}, "spec": {"ports": []}}
    mirror.take(kinds.SERVICES, stored(service, version=5))
    mirror.remove(kinds.SERVICES, "team/digits-treadle", "uid-digits-treadle", 6)  # its label was taken away
    assert mirror.uid(kinds.SERVICES, "team/digits-treadle") is None
    mirror.take(kinds.SERVICES, stored(service, version=7))  # and was given back
    assert mirror.uid(kinds.SERVICES, "team/digits-treadle") == "uid-digits-treadle"


def test_what_cannot_be_read_leaves_what_was_known(
    mirror: Mirror, tenant: Make, stored: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        mirror.take(kinds.TENANTS, stored(tenant(tiers=[]), uid="x", version=1))
        assert not mirror.snapshot(1, frozenset()).tenants
        assert mirror.uid(kinds.TENANTS, "team/digits") == "x"  # it is there all the same: no watch has missed it
        mirror.take(kinds.TENANTS, stored(tenant(), version=5))
        mirror.take(kinds.TENANTS, stored(tenant(slo={"deadline": "soon"}), version=6))
    assert deadline(mirror) == 0.1
    assert "InferenceTenant team/digits cannot be read: spec.slo.deadline" in caplog.text


def test_a_node_is_what_its_agent_its_lease_and_its_core_node_say(mirror: Mirror, node: Make, stored: Make) -> None:
    mirror.take(kinds.NODES, stored(node("a")))
    mirror.take(kinds.NODES, stored(node("b")))
    core: Manifest = {"metadata": {"name": "a", "labels": {"zone": "x"}}, "spec": {"unschedulable": True}}
    mirror.take(kinds.CORE_NODES, stored(core))
    nodes = mirror.snapshot(1, frozenset({"a"})).nodes
    assert (nodes["a"].alive, nodes["a"].labels, nodes["a"].unschedulable) == (True, {"zone": "x"}, True)
    assert (nodes["b"].alive, nodes["b"].labels, nodes["b"].unschedulable) == (False, {}, False)


def test_a_snapshot_does_not_change_any_more(mirror: Mirror, tenant: Make, stored: Make) -> None:
    mirror.take(kinds.TENANTS, stored(tenant()))
    snapshot = mirror.snapshot(3, frozenset())
    mirror.remove(kinds.TENANTS, "team/digits", "uid-digits")
    assert list(snapshot.tenants) == ["digits.team"]
    assert snapshot.epoch == 3
