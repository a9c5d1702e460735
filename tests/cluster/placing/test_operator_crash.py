"""The operator is killed at its writes, and everything ends as if it had not been.

The kill comes when the API server has carried out the write and before the operator hears of it. `make soak` kills at
each single write of the story; `make test` at a seeded choice of them in one go. Nothing can be half done at
a read, and what a new leader knows it has read itself: so kills at writes are kills at all calls.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from played.agents import Players
from played.api_proxy import ApiProxy
from played.crashes import STORY, Killer, Step
from played.operators import OperatorProcess
from played.world import World
from treadle.bench.placement.agents import Part

Eventually = Callable[..., Any]
SETTLES = 30.0  # seconds
SEED = 20261122
MOST_WRITES = 120  # more than the story takes, with those that a kill makes necessary


@pytest.fixture
def stage(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], api_proxy: ApiProxy
) -> tuple[Players, OperatorProcess, Killer]:
    """Three nodes, and an operator whose writes are counted."""
    agents = players(3, Part(lease_seconds=3))
    process = operator("operator", "--lease-duration", "3", way=api_proxy)
    process.epoch()
    return agents, process, Killer(api_proxy, process)


def tell(world: World, agents: Players, eventually: Eventually, begin: Callable[[Step], None]) -> Iterator[Step]:
    """The story: each step happens, settles, and is yielded."""
    for step in STORY:
        begin(step)
        step.happens(world, agents)
        begun = time.monotonic()
        try:
            eventually(lambda step=step: step.settled(world), SETTLES)
        except AssertionError as error:
            raise AssertionError(f"{step.name}: not settled after {time.monotonic() - begun:.0f} s: {error}") from error
        yield step


def test_killed_at_a_choice_of_its_writes(
    world: World, stage: tuple[Players, OperatorProcess, Killer], eventually: Eventually
) -> None:
    agents, _, killer = stage
    dice = random.Random(SEED)
    kills = 0
    for _ in tell(world, agents, eventually, lambda _: killer.aim({dice.randint(1, 5)})):
        kills += killer.kills
    assert kills >= len(STORY) - 3  # node return needs no write, and deleting neither


@pytest.mark.soak
@pytest.mark.parametrize("position", range(len(STORY)), ids=[step.name for step in STORY])
@pytest.mark.timeout(3600)
def test_killed_at_each_single_write_of_a_step(
    world: World,
    stage: tuple[Players, OperatorProcess, Killer],
    eventually: Eventually,
    position: int,
) -> None:
    """The story up to and with one step, again and again: the n-th time the n-th write of that step is the last."""
    agents, _, killer = stage
    for victim in range(1, MOST_WRITES):

        def begin(step: Step, victim: int = victim) -> None:
            killer.aim({victim} if step is STORY[position] else ())

        for step in tell(world, agents, eventually, begin):
            if step is STORY[position]:
                break
        done = killer.kills == 0
        killer.aim(())
        clear(world, agents, eventually)
        if done:
            return
    raise AssertionError(f"{STORY[position].name} never ended")


def clear(world: World, agents: Players, eventually: Eventually) -> None:
    """As before the story."""
    STORY[-1].happens(world, agents)
    eventually(lambda: STORY[-1].settled(world), SETTLES)
    agents.play(lambda part: part.stragglers.clear())
    for name in agents.lost:
        agents.revive(name)
