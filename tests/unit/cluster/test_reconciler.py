"""What a device is told: what is wanted, what leaves it, and what is tried again when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from treadle_agent.cluster.reconciler import Reconciler
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.frontend.catalog import Entry
from treadle_agent.frontend.site import Site
from treadle_agent.node_events import Refused, Removed, Serving
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec, WeightEntry
from treadle_agent.program.model import TensorType
from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.tenant import Precision
from treadle_api.units import Seconds

OWN = "10.0.0.7:8000"
SPEC = (TensorSpec("x", "float32", (-1, 4)),)
WEIGHTS = (WeightEntry(TensorType("float32", (31, 32)), 0), WeightEntry(TensorType("float32", (32,)), 3968))
ARTIFACT = Artifact(ARTIFACT_VERSION, "ab" * 32, "cd" * 32, SPEC, SPEC, True, WEIGHTS, 4096, (), "", {}, {})
HALF = 3968 // 2 + 128  # the matrix alone


class Agent:
    """Takes notes of what is applied."""

    def __init__(self) -> None:
        self.applied: list[tuple[list[str], frozenset[str]]] = []
        self.called = asyncio.Event()

    async def apply(self, tenants, retry=None):
        self.applied.append(([tenant.key for tenant in tenants], frozenset(retry)))
        self.called.set()
        return []


class World:
    """A reconciler at work, with a clock in milliseconds instead of seconds."""

    def __init__(self, linger: float) -> None:
        self.site = Site("host", object())
        self.agent = Agent()
        self.events = []
        self.it = Reconciler(
            self.site, Backoff(BackoffTiming(Seconds(0.005), Seconds(0.04))), OWN, linger, self.events.append
        )

    async def applied(self, count: int) -> list[tuple[list[str], frozenset[str]]]:
        async with asyncio.timeout(10.0):
            while len(self.agent.applied) < count:
                await self.agent.called.wait()
                self.agent.called.clear()
        return self.agent.applied

    def serve(self, tenant) -> None:
        tiers = tuple(TierSpec(tier.name, tier.accuracy, "", tier.precision) for tier in tenant.tiers)
        served = Served(Version(1, tenant.key, 1.0, 5, 8, tiers), SPEC, SPEC, True, ("merged",) * 2, (1e-3, 1e-4))
        self.site.catalog.put(Entry(tenant, served))
        self.it.observe(Serving(tenant, served, (ARTIFACT, ARTIFACT)))

    def refuse(self, tenant) -> None:
        self.it.observe(Refused(tenant.key, "spec", "ModelNotFound", "no", previous=False, temporary=False))

    def move(self, key: str):
        return self.site.moves.get(key)


@pytest.fixture
def at_work() -> Callable[..., None]:
    """Runs a test beside a reconciler that runs, and lets those who have left linger for so many seconds."""

    def run(body: Callable[[World], Coroutine[Any, Any, None]], linger: float = 60.0) -> None:
        async def whole() -> None:
            world = World(linger)
            running = asyncio.create_task(world.it.run(world.agent))
            try:
                await body(world)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

        asyncio.run(whole())

    return run


def test_nothing_is_applied_before_anything_is_known(at_work, replica):
    async def body(world):
        await asyncio.sleep(0.02)
        assert world.agent.applied == []
        world.it.want([])
        assert await world.applied(1) == [([], frozenset())], "nothing is wanted: that makes a node ready"

    at_work(body)


def test_changes_are_applied_and_the_same_again_is_not(at_work, replica):
    async def body(world):
        world.it.want([replica("a"), replica("b")])
        await world.applied(1)
        world.it.want([replica("b"), replica("a")])
        world.it.want([replica("a")])
        assert [keys for keys, _ in await world.applied(2)] == [["a.default", "b.default"], ["a.default"]]

    at_work(body)


def test_what_is_refused_is_tried_again_less_and_less_often(at_work, replica):
    async def body(world):
        one, clock = replica("a"), asyncio.get_running_loop().time
        world.it.want([one])
        await world.applied(1)
        waits, last = [], clock()
        for count in range(2, 6):
            world.refuse(one.tenant)
            await world.applied(count)
            waits.append(clock() - last)
            last = clock()
        assert [retry for _, retry in world.agent.applied[1:]] == [{"a.default"}] * 4
        for wait, least in zip(waits, (0.005, 0.01, 0.02, 0.04), strict=True):
            assert wait >= 0.9 * least
        assert world.it.refused("a.default") is not None

    at_work(body)


def test_other_changes_do_not_try_it_again_before_its_time(at_work, replica, monkeypatch):
    async def body(world):
        world.it._backoff = Backoff(BackoffTiming(Seconds(30.0), Seconds(30.0)))
        world.it.want([replica("a")])
        await world.applied(1)
        world.refuse(replica("a").tenant)
        world.it.want([replica("a"), replica("b")])
        _, retry = (await world.applied(2))[-1]
        assert retry == frozenset()

    at_work(body)


def test_another_spec_is_another_matter(at_work, replica, tenant):
    async def body(world):
        world.it.want([replica("a")])
        await world.applied(1)
        world.refuse(replica("a").tenant)
        world.it.want([replica("a", tenant=tenant("a", slo={"deadline": "2s"}))])
        assert world.it.refused("a.default") is None

    at_work(body)


def test_what_drains_stays_loaded_and_what_still_comes_is_passed_on(at_work, replica):
    async def body(world):
        one = replica("a")
        world.it.want([one])
        await world.applied(1)
        world.serve(one.tenant)
        world.it.want([replica("a", draining=True, successors=("10.0.0.8:8000", OWN))])
        assert world.move("a.default").successors == ("10.0.0.8:8000",), "not to this node itself"
        assert world.move("a.default").deadline == 1.0

        world.it.want([])
        assert [keys for keys, _ in await world.applied(2)][-1] == []
        now = asyncio.get_running_loop().time()
        world.site.moves.forget_ended(now + 59.0)
        assert world.move("a.default") is not None, "connections that are kept may go on"
        world.site.moves.forget_ended(now + 61.0)
        assert world.move("a.default") is None

    at_work(body)


@pytest.mark.parametrize("loaded", [False, True])
def test_who_has_left_is_forgotten_in_time_though_nobody_asks(at_work, replica, loaded):
    async def body(world):
        one = replica("a")
        world.it.want([one, replica("b")])
        await world.applied(1)
        if loaded:
            world.serve(one.tenant)
        leaving = replica("a", draining=True, successors=("10.0.0.8:8000",))
        world.it.want([leaving, replica("b")])
        await asyncio.sleep(0.1)
        assert world.site.moves, "it drains for as long as it is there"
        gone = asyncio.get_running_loop().time()
        world.it.want([replica("b")])
        async with asyncio.timeout(10.0):
            while world.site.moves:
                assert world.move("a.default") is not None
                await asyncio.sleep(0.005)
        assert asyncio.get_running_loop().time() - gone >= 0.05

    at_work(body, linger=0.05)


def test_what_drains_and_was_never_loaded_is_not_loaded(at_work, replica):
    async def body(world):
        world.it.want([replica("a")])
        await world.applied(1)
        world.it.want([replica("a", draining=True)])
        assert [keys for keys, _ in await world.applied(2)][-1] == []

    at_work(body)


def test_a_tenant_that_comes_back_is_served_here(at_work, replica):
    async def body(world):
        world.it.want([replica("a", draining=True, successors=("10.0.0.8:8000",))])
        world.it.want([])
        world.it.want([replica("a")])
        assert world.move("a.default") is None

    at_work(body)


def test_memory_counts_each_model_once(at_work, replica):
    async def body(world):
        world.serve(replica("a").tenant)
        world.serve(replica("b").tenant)
        assert world.it.used == 4096
        assert [tier.service_seconds for tier in world.it.tiers("a.default")] == [1e-3, 1e-4]
        world.it.observe(Removed("a.default"))
        world.it.observe(Removed("b.default"))
        assert world.it.used == 0
        assert world.it.tiers("a.default") == ()

    at_work(body)


def test_a_model_takes_its_memory_once_at_each_precision(at_work, replica):
    async def body(world):
        tenant = replica("a").tenant
        first, second = tenant.tiers
        world.serve(replace(tenant, tiers=(first, replace(second, precision=Precision.FLOAT16))))
        assert [tier.precision for tier in world.it.tiers("a.default")] == [Precision.FLOAT32, Precision.FLOAT16]
        assert [tier.memory for tier in world.it.tiers("a.default")] == [4096, HALF]
        assert world.it.used == 4096 + HALF
        assert world.it.models == {"ab" * 32}

    at_work(body)
