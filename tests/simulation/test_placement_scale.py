"""2,000 tenants on 200 nodes: plans take a fraction of a second, and few writes do."""

from __future__ import annotations

import random
import statistics
import time

import pytest
from cluster_world import World
from fake_agents import Truth
from operator_objects import MIB, make_device, make_figures

from treadle_operator.policy.convergence import converge
from treadle_operator.policy.planning import plan

TENANTS, NODES = 2000, 200
SLOWEST = 2.0  # CPU seconds: several times what a plan takes on the machines that this was written on


def make_world(memory: int = 4096 * MIB) -> World:
    source = random.Random(1)
    models = {
        f"m{i}": Truth(source.choice([0.002, 0.005, 0.02]), source.choice([5, 20, 60]) * MIB, f"a{i % 40}")
        for i in range(300)
    }
    world = World(models)
    world.add_nodes(NODES, devices=[make_device(memory=memory)])
    for i in range(TENANTS):
        world.add(
            f"x{i}",
            *(f"m{source.randrange(300)}" for _ in range(source.randint(1, 3))),
            replicas=(1, source.choice([1, 1, 2])),
            rate=source.choice([None, 1.0, 5.0, 10.0]),
            deadline=source.choice([0.1, 0.5]),
        )
    return world


def rounds(world: World, most: int) -> list[float]:
    """Agents and operator take turns; CPU seconds of each plan with its changes."""
    seconds = []
    for _ in range(most):
        world.api.now += 0.5
        world.agents.step()
        snapshot = world.api.snapshot()
        begun = time.process_time()
        planned = plan(snapshot, world.memory, world.api.now)
        changes = converge(snapshot, planned, world.api.now)
        seconds.append(time.process_time() - begun)
        world.memory = planned.memory
        for change in changes:
            world.api.apply(change)
    return seconds


def lose_a_tenth(world: World) -> None:
    for name in sorted(world.api.nodes)[::10]:
        world.lose(name)


@pytest.fixture(scope="module")
def settled() -> tuple[World, list[float]]:
    world = make_world()
    return world, rounds(world, 12)


def test_all_are_placed_from_cold_with_few_writes(settled: tuple[World, list[float]]) -> None:
    world, seconds = settled
    assert max(seconds) <= SLOWEST, f"plans took {seconds}"
    assert all(world.answering(key) for key in list(world.api.tenants)[::50])
    assert len(world.api.replicas) == TENANTS
    assert max(world.api.writes.values()) <= 8
    best = [device.best for device in plan(world.api.snapshot(), world.memory, world.api.now).devices.values()]
    assert max(best) < statistics.mean(best) + 0.5, "no device is much fuller than others"


def test_a_tenth_of_the_nodes_lost_at_once_is_made_good_in_one_plan(settled: tuple[World, list[float]]) -> None:
    world, _ = settled
    before = {key: view.place for key, view in world.api.replicas.items()}
    lost = {view.replica.tenant.key for view in world.api.replicas.values() if int(view.replica.node[1:]) % 10 == 0}
    writes = sum(world.api.writes.values())
    lose_a_tenth(world)
    seconds = rounds(world, 12)
    assert max(seconds) <= SLOWEST, f"plans took {seconds}"
    assert len(world.api.replicas) == TENANTS
    assert all(world.api.nodes[view.replica.node].alive for view in world.api.replicas.values())
    moved = [key for key, place in before.items() if key not in world.api.replicas]
    assert len(moved) == len(lost), "others stay where they are"
    assert (sum(world.api.writes.values()) - writes) / TENANTS <= 1.5


def test_plans_stay_quick_when_all_report_figures_and_much_is_refused() -> None:
    world = make_world(memory=300 * MIB)  # room for some of them
    rounds(world, 8)
    refused = [key for key, view in world.api.tenants.items() if not view.status.replicas_desired]
    assert 100 < len(refused) < TENANTS - 100
    for key in list(world.api.tenants)[::3]:
        world.agents.figures[key] = lambda _: make_figures(120, late=3)
    seconds = rounds(world, 6)
    assert max(seconds) <= SLOWEST, f"plans took {seconds}"
