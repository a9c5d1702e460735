"""A device's account: nothing is counted twice, nothing is forgotten, and what is undone leaves no trace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operator_objects import GPU, MIB, make_node, make_snapshot

from treadle_api.units import Bytes, Percent, PerSecond, Seconds, TierName
from treadle_operator.policy.capacity import Demand, TierCost
from treadle_operator.policy.devices import read_devices
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.memory_account import MemoryAccount

MODELS = [("a", Bytes(10)), ("b", Bytes(20)), ("c", Bytes(40))]


def make_cost(seconds: float, architecture: str = "", merged: tuple[float, ...] = (1.0,)) -> TierCost:
    name = TierName("t0")
    return TierCost(name, Percent(90.0), Seconds(seconds), Seconds(seconds), "m", Bytes(0), architecture, merged)


def make_demand(cost: TierCost, *models: tuple[str, Bytes], slack: float = 1.0) -> Demand:
    return Demand(tuple(models), cost, cost, cost, Seconds(slack))


@pytest.fixture
def ledger() -> DeviceLedger:
    return DeviceLedger(read_devices(make_snapshot(nodes=[make_node()]))["n0/0"])


def test_utilisation_is_rate_times_seconds(ledger: DeviceLedger) -> None:
    ledger.add("x", make_demand(make_cost(0.01)), PerSecond(20.0))
    assert ledger.floor.total == pytest.approx(0.2)
    assert ledger.floor.with_one(make_cost(0.02), 10.0) == pytest.approx(0.4)
    assert ledger.fits(make_demand(make_cost(0.01)), PerSecond(60.0))
    assert not ledger.fits(make_demand(make_cost(0.01)), PerSecond(61.0))


def test_tenants_of_one_architecture_cost_less_together(ledger: DeviceLedger) -> None:
    cost = make_cost(0.01, "a", (1.0, 0.6, 0.5))
    ledger.add("x", make_demand(cost), PerSecond(20.0))
    assert ledger.best.total == pytest.approx(0.2)
    assert ledger.best.merges(cost)
    assert ledger.best.with_one(cost, 20.0) == pytest.approx(0.4 * 0.6)
    ledger.add("y", make_demand(cost), PerSecond(20.0))
    ledger.add("z", make_demand(make_cost(0.01, "other", (1.0, 0.1))), PerSecond(10.0))
    assert ledger.best.total == pytest.approx(0.4 * 0.6 + 0.1)
    ledger.remove("x", loaded=False)
    assert ledger.best.total == pytest.approx(0.3)


def test_a_model_is_in_memory_once() -> None:
    account = MemoryAccount(100)
    account.keep(MODELS[:2])
    account.keep(MODELS[:2])
    assert (account.staying, account.held, account.free) == (30, 30, 70)
    assert account.adds(MODELS) == 40
    account.forget(MODELS[:2])
    assert account.staying == 30


def test_what_is_given_back_is_free_for_plans_but_not_yet() -> None:
    account = MemoryAccount(60)
    account.keep(MODELS[1:])
    assert not account.fits(MODELS[:1])
    account.give_back(MODELS[2:])
    assert account.fits(MODELS[:1])
    assert not account.fits_now(MODELS[:1])
    assert account.fits_now(MODELS[2:]), "it is still there"


def test_what_an_agent_uses_beyond_the_models_is_not_free() -> None:
    account = MemoryAccount(100)
    account.keep(MODELS)
    account.settle(used=85)
    assert (account.overhead, account.free) == (15, 15)
    account.settle(used=10)
    assert account.overhead == 0


@given(
    st.lists(
        st.tuples(st.sampled_from("pqrs"), st.sets(st.sampled_from(MODELS), min_size=1)),
        max_size=8,
        unique_by=lambda x: x[0],
    )
)
def test_undoing_leaves_no_trace(tenants) -> None:
    account = MemoryAccount(1000)
    account.leave(MODELS[:1])
    before = (account.staying, account.held, account.free)
    for _, models in tenants:
        account.keep(models)
        assert account.staying <= account.held <= sum(size for _, size in MODELS)
    for _, models in tenants:
        account.give_back(models)
    assert account.staying == 0
    for _, models in tenants:
        account.take_back(models)
    for _, models in reversed(tenants):
        account.forget(models)
    assert (account.staying, account.held, account.free) == before


def test_a_restored_replica_costs_what_it_did(ledger: DeviceLedger) -> None:
    demand = make_demand(make_cost(0.01, "a", (1.0, 0.5)), *MODELS)
    ledger.add("x", demand, PerSecond(10.0))
    ledger.add("y", demand, PerSecond(10.0))
    before = (ledger.best.total, ledger.floor.total, ledger.memory.staying, ledger.memory.held, ledger.crowding)
    ledger.remove("x", loaded=True)
    ledger.restore("x", demand, PerSecond(10.0))
    after = (ledger.best.total, ledger.floor.total, ledger.memory.staying, ledger.memory.held, ledger.crowding)
    assert after == pytest.approx(before)
    assert list(ledger.residents) == ["y", "x"]


@pytest.mark.parametrize(
    ("there", "new", "conflicts"),
    [
        ((0.5, 10.0), (0.01, 0.1), True),  # a long request is in the way of one that cannot wait
        ((0.01, 0.1), (0.5, 10.0), True),
        ((0.05, 10.0), (0.01, 0.1), False),
    ],
)
def test_long_requests_and_short_deadlines_do_not_go_together(
    ledger: DeviceLedger, there, new, conflicts: bool
) -> None:
    ledger.add("x", make_demand(make_cost(there[0]), slack=there[1]), PerSecond(1.0))
    assert ledger.conflicts(make_demand(make_cost(new[0]), slack=new[1])) == conflicts
    ledger.remove("x", loaded=True)
    assert not ledger.conflicts(make_demand(make_cost(new[0]), slack=new[1]))


def test_a_state_has_its_memory() -> None:
    assert read_devices(make_snapshot(nodes=[make_node()]))["n0/0"].memory == 1024 * MIB
    assert read_devices(make_snapshot(nodes=[make_node()]))["n0/0"].model == GPU
