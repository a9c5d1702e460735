"""The operator is killed after each single change of a scenario, and forgets all: the end is always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cluster_world import World
from fake_agents import Truth
from operator_objects import MIB, make_device

from treadle_api.node import CordonedDevice
from treadle_operator.policy.changes import Change
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.plan import Memory
from treadle_operator.policy.planning import plan

MODELS = {"large": Truth(0.010, 60 * MIB, "L"), "small": Truth(0.002, 20 * MIB, "S")}
AT_MOST = 30.0  # seconds until all is as it would be without the kill


def begin(world: World) -> None:
    world.add_nodes(4, devices=[make_device("0"), make_device("1")])
    for i in range(4):
        world.add(f"x{i}", replicas=(1 + i % 2, 3), priority=1 + i)


def scale(world: World) -> None:
    world.add("x0", replicas=(3, 3))
    world.add("x1", replicas=(1, 1), priority=2)


def edit(world: World) -> None:
    world.add("x1", "large", "small", "tiny", replicas=(2, 3), priority=2)


def lose(world: World) -> None:
    world.lose(min(view.replica.node for view in world.api.replicas.values()))


def bring_back(world: World) -> None:
    lose(world)
    world.settle()
    for name, view in world.api.nodes.items():
        world.api.nodes[name] = replace(view, alive=True)


def cordon(world: World) -> None:
    node = min(view.replica.node for view in world.api.replicas.values())
    world.api.cordon(node, CordonedDevice("0", "because"))


def straggle(world: World) -> None:
    key = min(world.api.replicas)
    world.agents.say(key, world.agents.condition(key, "Straggling", "SlowKernels", holds=True))


def delete(world: World) -> None:
    world.api.delete_tenant("x2.default")
    world.add("x7", "whole")


def preempt(world: World) -> None:
    world.add("x0", "whole", replicas=(3, 3), priority=1)
    world.add("x9", "whole", replicas=(2, 2), priority=1)


EVENTS: dict[str, Callable[[World], None]] = {
    event.__name__: event for event in (begin, scale, edit, lose, bring_back, cordon, straggle, delete, preempt)
}


class Killed:
    """Kills the operator after the change of a number, counted from when it is armed."""

    def __init__(self, world: World, after: int) -> None:
        self.left = after
        self.killed = False
        self._apply = world.api.apply
        self._world = world
        world.operate = self.operate  # type: ignore[method-assign]

    def operate(self) -> tuple[Change, ...]:
        world = self._world
        snapshot = world.api.snapshot()
        planned = world.planned = plan(snapshot, world.memory, world.api.now)
        world.memory = planned.memory
        changes = converge(snapshot, planned, world.api.now)
        for change in changes:
            if self.left == 0 and not self.killed:
                self.killed = True
                world.memory = Memory()
                break
            world.api.apply(change)
            self.left -= 1
        return changes


def prepared(event: str) -> World:
    world = World(dict(MODELS) | {"whole": Truth(0.001, 500 * MIB)})
    if event != "begin":
        begin(world)
        world.settle()
    return world


@pytest.mark.parametrize("event", EVENTS)
def test_the_end_is_the_same_whenever_the_operator_is_killed(event: str) -> None:
    world = prepared(event)
    counter = Killed(world, after=10**9)
    EVENTS[event](world)
    took = world.settle()
    shape, changes = world.shape(), 10**9 - counter.left
    assert changes > 0
    for after in range(changes):
        world = prepared(event)
        killed = Killed(world, after)
        EVENTS[event](world)
        again = world.settle()
        assert killed.killed
        assert again <= took + AT_MOST
        assert world.shape() == shape, f"killed after change {after} of {changes}"


@pytest.mark.parametrize("event", EVENTS)
def test_the_end_is_the_same_when_any_single_change_is_lost(event: str) -> None:
    reference = prepared(event)
    count = Lost(reference, None)
    EVENTS[event](reference)
    reference.settle()
    for number in range(count.seen):
        world = prepared(event)
        Lost(world, number)
        EVENTS[event](world)
        world.settle()
        assert world.shape() == reference.shape(), f"lost change {number} of {count.seen}"


class Lost:
    """Loses the change of a number, as a request that did not reach the API server."""

    def __init__(self, world: World, number: int | None) -> None:
        self.seen = 0
        self._number = number
        self._apply = world.api.apply
        world.api.apply = self.apply  # type: ignore[method-assign]

    def apply(self, change: Change) -> None:
        self.seen += 1
        if self.seen - 1 != self._number:
            self._apply(change)
