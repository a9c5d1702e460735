"""What is told of replicas: of each object what is true of it, and nothing of one that had its name before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from treadle_agent.cluster.errors import ConflictError, KubeError, NotFoundError
from treadle_agent.cluster.reporter import Reporter
from treadle_agent.cluster.reporting import HELD
from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.conditions import ConditionStatus
from treadle_api.replica import ReplicaStatus
from treadle_api.units import Seconds

KEY = "default/digits-1234567890"
FOR_EVER = Seconds(3600.0)


class Server:
    """Takes statuses by uid, each when it is let; refuses those of objects that are gone."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[str] = asyncio.Queue()
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.gone: dict[str, KubeError] = {}
        self.held: dict[str, asyncio.Event] = {}

    async def apply(self, _: object, __: str, ___: str, body: dict[str, Any], ____: str) -> None:
        uid = body["metadata"]["uid"]
        self.arrived.put_nowait(uid)
        if uid in self.held:
            await self.held[uid].wait()
        if uid in self.gone:
            raise self.gone[uid]
        self.told.put_nowait(uid)


class World:
    """A reporter at work, of one replica that is as `true` says; it looks at it only when something happens to it."""

    def __init__(self, true: ReplicaStatus, rest: Seconds) -> None:
        self.server = Server()
        self.true = true
        backoff: Backoff[str] = Backoff(BackoffTiming(FOR_EVER, FOR_EVER))
        self.it = Reporter(self.server, lambda _key, _told: self.true, backoff, rest)

    def assign(self, uid: str) -> None:
        """What `ClusterAgent` does when assignments have changed."""
        self.it.known(KEY, uid, ReplicaStatus())
        self.it.retain([KEY])
        self.it.mark([KEY])


@pytest.fixture
def at_work(status) -> Callable[..., None]:
    """Runs a test beside a reporter that runs."""

    def run(body: Callable[[World], Coroutine[Any, Any, None]], rest: Seconds = FOR_EVER) -> None:
        async def whole() -> None:
            world = World(status(), rest)
            running = asyncio.create_task(world.it.run(list))
            try:
                async with asyncio.timeout(10.0):
                    await body(world)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

        asyncio.run(whole())

    return run


def test_what_is_told_of_one_is_told_again_of_one_made_again(at_work):
    async def body(world):
        world.assign("old")
        assert await world.server.told.get() == "old"
        world.assign("new")
        assert await world.server.told.get() == "new"

    at_work(body)


@pytest.mark.parametrize("error", [NotFoundError(404, "gone"), ConflictError(409, "another uid")])
def test_a_write_that_finds_the_old_one_gone_does_not_hold_up_the_new_one(at_work, error):
    async def body(world):
        world.server.gone["old"] = error
        world.server.held["old"] = asyncio.Event()
        world.assign("old")
        assert await world.server.arrived.get() == "old"
        world.assign("new")  # while the write is under way
        world.server.held["old"].set()
        assert await world.server.told.get() == "new"

    at_work(body)


def test_a_load_is_told_only_when_it_takes_long(at_work, status):
    async def body(world):
        loop, loaded = asyncio.get_running_loop(), world.true
        world.true = status(loaded=ConditionStatus.FALSE, reason="Loading")
        began = loop.time()
        world.assign("quick")
        await asyncio.sleep(0.1)
        world.true = loaded
        world.it.mark([KEY])
        await world.server.told.get()
        assert loop.time() - began < HELD
        await asyncio.sleep(HELD)
        assert world.server.told.empty(), "once is enough"

        world.true, began = status(loaded=ConditionStatus.FALSE, reason="Loading"), loop.time()
        world.assign("slow")
        await world.server.told.get()
        assert HELD <= loop.time() - began < HELD + 1.0

    at_work(body)


def test_the_old_ones_waits_are_not_the_new_ones(at_work):
    async def body(world):
        world.server.gone["old"] = ConflictError(409, "no")
        world.assign("old")
        assert await world.server.arrived.get() == "old"
        await asyncio.sleep(0.05)  # its next try is in an hour
        world.assign("new")
        assert await world.server.told.get() == "new"

    at_work(body)


def test_figures_are_told_at_most_once_a_rest_and_what_flips_at_once(at_work, status):
    async def body(world):
        loop = asyncio.get_running_loop()
        world.assign("one")
        await world.server.told.get()
        first = loop.time()
        world.true = status(good=2000)
        world.it.mark([KEY])
        await world.server.told.get()
        second = loop.time()
        assert second - first >= 0.4
        world.true = status(good=4000, reason="LoadFailed")
        world.it.mark([KEY])
        await world.server.told.get()
        assert loop.time() - second < 0.3

    at_work(body, Seconds(0.4))
