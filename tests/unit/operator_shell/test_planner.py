"""When it is planned, and when not; what is planned is the policies' matter, which run here as they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from treadle_api.backoff import BackoffTiming
from treadle_api.units import Seconds
from treadle_operator import planner as planner_module
from treadle_operator.clock import Clock
from treadle_operator.kube import kinds
from treadle_operator.kube.errors import UnreachableError
from treadle_operator.lanes import Lane
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror
from treadle_operator.planner import Planner
from treadle_operator.policy.changes import Change, CreateReplica
from treadle_operator.settings import PlannerTiming

Manifest = dict[str, Any]
Make = Callable[..., Manifest]
Until = Callable[[Callable[[], object]], Awaitable[None]]
DIGITS = Lane("team", "digits")

Lanes = Mapping[Lane, tuple[Change, ...]]


class Tray:
    """Takes what is offered, in place of an outbox."""

    def __init__(self) -> None:
        self.offers: list[tuple[Lanes, int]] = []
        self.retry_at: Seconds | None = None
        self.depth = 0
        self.cleared = 0

    async def offer(self, lanes: Lanes, epoch: int) -> None:
        self.offers.append((lanes, epoch))

    def clear(self) -> None:
        self.cleared += 1


class World:
    """A planner with a mirror, and an office that it holds or not."""

    def __init__(self, until: Until, resync: float = 3600.0, backoff: tuple[float, float] = (0.01, 0.05)) -> None:
        self.until = until
        self.wanted = asyncio.Event()
        self.mirror = Mirror(self.wanted.set)
        self.tray = Tray()
        self.epoch: int | None = 1
        self.catches: list[Exception | None] = []
        self.caught_up = 0
        timing = PlannerTiming(
            resync=Seconds(resync), debounce=Seconds(0.0), error_backoff=BackoffTiming(*map(Seconds, backoff))
        )
        outbox: Any = self.tray
        self.leases = SimpleNamespace(alive=frozenset({"a"}), hushed=False)
        self.planner = Planner(
            self.mirror, self.leases, self, outbox, self.catch_up, Clock(), timing, OperatorMetrics(), self.wanted,
        )  # fmt: skip

    async def catch_up(self) -> None:
        self.caught_up += 1
        if self.catches and (error := self.catches.pop(0)) is not None:
            raise error

    @asynccontextmanager
    async def planning(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.planner.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def offers(self, count: int) -> list[tuple[Lanes, int]]:
        """The first `count` offers, as soon as they are there."""
        await self.until(lambda: len(self.tray.offers) >= count)
        return self.tray.offers[:count]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_a_tenant_that_appears_is_planned_for(tenant: Make, node: Make, stored: Make, until: Until) -> None:
    async def scenario() -> None:
        world = World(until)
        async with world.planning():
            await world.offers(1)
            world.mirror.take(kinds.NODES, stored(node("a")))
            world.mirror.take(kinds.TENANTS, stored(tenant("digits")))
            await until(lambda: DIGITS in world.tray.offers[-1][0])
        lanes, epoch = world.tray.offers[-1]
        assert epoch == 1
        create = lanes[DIGITS][0]
        assert isinstance(create, CreateReplica)
        assert (create.spec.node, create.spec.epoch) == ("a", 1)

    run(scenario())


def test_without_office_nothing_is_planned_and_what_waits_is_dropped(tenant: Make, stored: Make, until: Until) -> None:
    async def scenario() -> None:
        world = World(until, resync=0.01)
        async with world.planning():
            await world.offers(3)
            world.epoch = None
            await until(lambda: world.tray.cleared)
            count = len(world.tray.offers)
            world.mirror.take(kinds.TENANTS, stored(tenant()))
            await asyncio.sleep(0.1)
            assert len(world.tray.offers) == count
            world.epoch = 5
            world.wanted.set()
            await world.offers(count + 1)
        assert world.tray.offers[-1][1] == 5
        assert world.caught_up == 2

    run(scenario())


def test_the_first_plan_in_office_waits_until_everything_was_read(until: Until) -> None:
    async def scenario() -> None:
        world = World(until)
        world.catches = [UnreachableError("no route"), UnreachableError("no route"), None]
        async with world.planning():
            await world.offers(1)
        assert world.caught_up == 3
        assert len(world.tray.offers) == 1

    run(scenario())


def test_idle_it_plans_once_a_resync(until: Until) -> None:
    async def scenario() -> None:
        world = World(until, resync=0.05)
        async with world.planning():
            await world.offers(4)
            begun = asyncio.get_running_loop().time()
            count = len(world.tray.offers)
            await world.offers(count + 4)
            assert asyncio.get_running_loop().time() - begun >= 0.15
        assert all(not lanes for lanes, _ in world.tray.offers)

    run(scenario())


def test_what_failed_is_planned_again_when_its_wait_is_over(until: Until) -> None:
    async def scenario() -> None:
        world = World(until)
        world.tray.retry_at = Seconds(Clock().steady() + 0.1)
        async with world.planning():
            await world.offers(2)
            assert world.planner._clock.steady() >= world.tray.retry_at

    run(scenario())


def decides(monkeypatch: pytest.MonkeyPatch, faults: list[Exception | None]) -> None:
    """One plan after another meets these faults, and takes them from the list; with None there is nothing to change."""

    def decide(*_: Any) -> Any:
        if (fault := faults.pop(0)) is not None:
            raise fault
        return (), None, None

    monkeypatch.setattr(planner_module, "_decide", decide)


def test_a_fault_in_a_plan_is_met_with_another_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    decides(monkeypatch, [ZeroDivisionError("as it happens"), None])

    async def scenario() -> None:
        world = World(until)
        async with world.planning():
            await world.offers(1)
        assert not world.planner.silent()

    run(scenario())
    assert "planning failed by a fault of the operator's; next try in 0.01 s" in caplog.text
    assert "as it happens" in caplog.text


@pytest.mark.parametrize("lost", [True, False])
def test_a_long_plan_is_rested_from_but_not_when_a_node_is_lost(
    monkeypatch: pytest.MonkeyPatch, until: Until, *, lost: bool
) -> None:
    def decide(*_: Any) -> Any:
        time.sleep(0.2)
        return (), None, None

    monkeypatch.setattr(planner_module, "_decide", decide)

    async def scenario() -> float:
        world = World(until)
        world.tray.depth = 1000  # much is left to write: it rests for 8 times as long as it planned
        async with world.planning():
            await world.offers(1)
            begun = Clock().steady()
            if lost:
                world.leases.alive = frozenset()
            world.wanted.set()
            await world.offers(2)
            return Clock().steady() - begun

    waited = asyncio.run(scenario())
    assert waited < 1.5 if lost else waited > 1.6


def test_a_plan_that_fails_is_put_off_for_all_of_its_wait_and_noticed(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    tries: list[float] = []

    def decide(*_: Any) -> Any:
        tries.append(Clock().steady())
        raise ZeroDivisionError

    monkeypatch.setattr(planner_module, "_decide", decide)

    async def scenario() -> None:
        world = World(until, backoff=(0.7, 0.7))
        async with world.planning():
            await until(lambda: len(tries) == 2)
            later = Clock().steady() + 60.5
            monkeypatch.setattr(Clock, "steady", lambda _: Seconds(later))
            assert world.planner.silent(), "it turns, but has not planned since it began"

    run(scenario())
    assert tries[1] - tries[0] >= 0.7


def test_a_plan_that_failed_is_made_again_though_nothing_changes(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    faults: list[Exception | None] = [None, ZeroDivisionError("once"), None]
    decides(monkeypatch, faults)

    async def scenario() -> None:
        world = World(until)
        async with world.planning():
            await world.offers(1)
            world.wanted.set()
            await world.offers(2)
        assert faults == []

    run(scenario())


def test_a_planner_that_does_not_turn_is_noticed(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    async def scenario() -> None:
        world = World(until)
        async with world.planning():
            await world.offers(1)
        assert not world.planner.silent()
        later = Clock().steady() + 61.0
        monkeypatch.setattr(Clock, "steady", lambda _: Seconds(later))
        assert world.planner.silent()

    run(scenario())
