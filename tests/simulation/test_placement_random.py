"""Seeded random clusters: whatever happens in whatever order, nothing is broken on the way, and all comes to rest.

`World` asserts at every change that no fewer replicas answer than did and should; the agents, that memory suffices.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from cluster_world import World
from fake_agents import Truth
from operator_objects import CPU, GPU, MIB, make_device, make_figures, make_node, make_profile

from treadle_api.node import CordonedDevice
from treadle_operator.policy.capacity import LIMIT
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.plan import Memory
from treadle_operator.policy.planning import plan

SEEDS = range(12)
EVENTS = 25


def make_world(source: random.Random) -> World:
    """A few nodes of one to three devices, and models that are known."""
    models = {
        f"m{i}": Truth(source.choice([0.001, 0.004, 0.015]), source.choice([10, 40, 90]) * MIB, f"a{i % 5}")
        for i in range(15)
    }
    world = World(models)
    for i in range(source.randint(3, 8)):
        model = source.choice([GPU, GPU, CPU])
        devices = [make_device(str(j), model, source.choice([200, 400]) * MIB) for j in range(source.randint(1, 3))]
        world.api.nodes[f"n{i}"] = make_node(f"n{i}", devices, labels={"zone": source.choice("ab")})
    for name, truth in models.items():
        for model in (GPU, CPU):
            seconds = truth.on(model)
            profile = make_profile(
                name,
                seconds,
                device_model=model,
                memory=truth.memory,
                architecture=truth.architecture,
                batches=[(8, 2 * seconds)],
            )
            world.api.profiles[profile.sha256, model] = profile
    return world


def put_tenant(world: World, source: random.Random, name: str | None = None) -> None:
    """A new tenant, or an edit of one."""
    most = source.choice([1, 1, 2, 3])
    world.add(
        name or f"x{source.randrange(14)}",
        *source.sample(sorted(world.models), source.randint(1, 3)),
        deadline=source.choice([0.02, 0.1, 0.5]),
        floor=source.choice([0.0, 88.0]),
        rate=source.choice([None, 5.0, 50.0, 300.0]),
        priority=source.randint(1, 10),
        replicas=(source.randint(1, most), most),
        selector=source.choice([[], [], [("zone", "a")]]),
    )


def disturb(world: World, source: random.Random) -> None:
    """One thing happens."""
    node = source.choice(sorted(world.api.nodes))
    view = world.api.nodes[node]
    match source.choice(["put", "put", "put", "delete", "lose", "return", "cordon", "uncordon", "straggle", "load"]):
        case "put":
            put_tenant(world, source)
        case "delete" if world.api.tenants:
            world.api.delete_tenant(source.choice(sorted(world.api.tenants)))
        case "lose":
            world.lose(node)
        case "return":
            world.api.nodes[node] = replace(view, alive=True)
        case "cordon":
            world.api.cordon(node, CordonedDevice(source.choice(view.node.devices).id, "because"))
        case "uncordon":
            world.api.cordon(node)
        case "straggle" if world.api.replicas:
            key = source.choice(sorted(world.api.replicas))
            world.agents.say(key, world.agents.condition(key, "Straggling", "SlowKernels", holds=source.random() < 0.7))
        case "load" if world.api.tenants:
            key, rate = source.choice(sorted(world.api.tenants)), source.choice([0, 10, 100, 400])
            world.agents.figures[key] = lambda replicas: make_figures(rate * 60 // max(1, replicas))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_no_promise_is_broken_on_the_way_and_all_comes_to_rest(seed: int) -> None:
    source = random.Random(seed)
    world = make_world(source)
    for _ in range(10):
        put_tenant(world, source)
    for _ in range(EVENTS):
        disturb(world, source)
        world.run(source.choice([0.5, 2.0, 10.0]))
    world.settle(400.0)  # a budget for moves and cool-downs spread them
    snapshot = world.api.snapshot()
    again = plan(snapshot, Memory(), world.api.now)
    assert converge(snapshot, again, world.api.now) == (), "a restarted operator has nothing to do"
    assert not world.agents.refused, "what is known to be too large is not placed"
    check_end(world)


def check_end(world: World) -> None:
    """What a settled cluster looks like."""
    assert world.planned is not None
    for key, view in world.api.tenants.items():
        tenant, planned = view.tenant, world.planned.tenants[key]
        replicas = world.replicas(tenant)
        assert len(replicas) <= max(tenant.replicas.maximum, 1)
        assert len({one.place for one in replicas}) == len(replicas)
        assert {one.place for one in replicas} == {placement.place for placement in planned.placements}
        heard_of = [one for one in replicas if world.api.nodes[one.replica.node].alive]
        assert world.answering(key) == len(heard_of) or not planned.verdict.admitted, "what is placed answers"
        ready = world.condition(tenant, "Ready")
        assert ready.holds == (world.answering(key) >= tenant.replicas.minimum), ready
        assert world.condition(tenant, "Admitted").holds or planned.verdict.message
        for one in replicas:
            node = world.api.nodes[one.replica.node]
            cordoned = {device.id for device in node.node.cordoned}
            stays = planned.verdict.reason == "NowhereToMove" or not planned.verdict.admitted
            assert node.alive or stays
            assert one.replica.device not in cordoned or stays
            assert all(node.labels.get(name) == value for name, value in tenant.node_selector) or stays
            assert not one.replica.draining


@pytest.mark.parametrize("seed", SEEDS)
def test_new_tenants_break_no_promise_of_those_that_are_there(seed: int) -> None:
    source = random.Random(1000 + seed)
    world = make_world(source)
    for i in range(40):
        put_tenant(world, source, f"x{i}")
        world.step()
        assert world.planned is not None
        for place, device in world.planned.devices.items():
            assert device.floor <= LIMIT + 1e-9, f"{place} is promised to be {device.floor:.2f} busy at the least"
    world.settle()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_is_the_same_in_whatever_order_the_objects_come(seed: int) -> None:
    source = random.Random(2000 + seed)
    world = make_world(source)
    for _ in range(12):
        put_tenant(world, source)
    world.run(3.0)
    disturb(world, source)
    snapshot = world.api.snapshot()
    turned = replace(
        snapshot,
        tenants=dict(sorted(snapshot.tenants.items(), reverse=True)),
        replicas=dict(sorted(snapshot.replicas.items(), reverse=True)),
        nodes=dict(sorted(snapshot.nodes.items(), reverse=True)),
        profiles=dict(sorted(snapshot.profiles.items(), reverse=True)),
    )
    one, other = (plan(each, Memory(), world.api.now) for each in (snapshot, turned))
    assert one == other
    assert converge(snapshot, one, world.api.now) == converge(turned, other, world.api.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_happens_to_one_node_moves_nothing_on_the_others(seed: int) -> None:
    source = random.Random(3000 + seed)
    world = make_world(source)
    for _ in range(12):
        put_tenant(world, source)
    world.settle(300.0)
    lost = source.choice(sorted(world.api.nodes))
    before = {key: view.uid for key, view in world.api.replicas.items() if view.replica.node != lost}
    world.lose(lost)
    world.settle(300.0)
    after = {view.uid for view in world.api.replicas.values()}
    gone = [key for key, uid in before.items() if uid not in after]
    explained = {event.name for event in world.api.events if event.reason in ("Preempted", "DeviceOverloaded")}
    assert all(any(key.startswith(f"default/{name}-") for name in explained) for key in gone), gone
