"""What is known of one device, and of nobody who has left it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import msgspec
import pytest
from operator_objects import GPU, make_node, make_profile, make_replica, make_snapshot, view_tenant

from treadle_agent.cluster import device
from treadle_agent.cluster.assignments import Assignment
from treadle_agent.cluster.device import FEW, LocalDevice, Measured
from treadle_agent.cluster.hardware import DeviceFacts
from treadle_agent.cluster.reporting import flipped
from treadle_agent.cluster.settings import ClusterSettings
from treadle_agent.cluster.status import status_of
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.library import MERGED, SEGMENTS
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.frontend.catalog import Entry
from treadle_agent.frontend.site import Site
from treadle_agent.metrics import TenantSeries
from treadle_agent.node_events import Removed, Serving
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_api.profile import profile_name
from treadle_api.replica import ReplicaStatus
from treadle_api.tenant import Precision, Tenant
from treadle_api.units import Bytes
from treadle_operator.policy.capacity import Knowledge

NOW = "2026-11-22T20:05:00Z"
KEY = "digits.default"
SPEC = (TensorSpec("x", "float32", (-1, 4)),)
ARTIFACT = Artifact(ARTIFACT_VERSION, "ab" * 32, "cd" * 32, SPEC, SPEC, True, (), 4096, (), "", {}, {})


class Gateway:
    """An executor that has spent two seconds more on the tenant with each look, also while it unloads it."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.silent = False
        self.verdict: dict[str, Any] = {}
        self.device_stretch = 1.0

    async def statistics(self) -> dict[str, Any]:
        if self.silent:
            raise TimeoutError
        self.spent += 2.0
        tenant = TenantStatistics(KEY, self.spent, tier="large", **self.verdict)
        document = Document("host", "space-time", tenants={1: tenant}, stretch=self.device_stretch)
        return {**msgspec.json.decode(msgspec.json.encode(document)), "supervisor": {"restarts": 0, "replays": 0}}

    def under_way(self, _: Served) -> int:
        return 0


PRECISIONS = (Precision.FLOAT32, Precision.FLOAT16)


@pytest.fixture
def digits(tenant):
    """A tenant of two tiers, and what an executor has of it."""
    one = tenant("digits")
    tiers = tuple(TierSpec(tier.name, tier.accuracy, "") for tier in one.tiers)
    return one, Served(
        Version(1, KEY, 1.0, 5, 8, tiers), SPEC, SPEC, True, ("merged",) * 2, (1e-3, 1e-4), (((1, 1e-3),), ())
    )


def local(gateway: Gateway, fault: Callable[[], str] = str, measured: Measured = lambda *_: None) -> LocalDevice:
    return LocalDevice(
        DeviceFacts("host", "a CPU", Bytes(1 << 34), PRECISIONS),
        Site("host", gateway),
        ClusterSettings("alpha", "10.0.0.7:8000"),
        measured=measured,
        fault=fault,
        flipped=lambda *_: None,
    )


def serve(it: LocalDevice, one: Tenant, served: Served) -> None:
    it.site.catalog.put(Entry(one, served))
    it.reconciler.observe(Serving(one, served, (ARTIFACT, ARTIFACT)))


def test_what_is_known_of_a_device_is_told(digits):
    async def body() -> None:
        told = local(Gateway()).describe()
        assert (told.id, told.model, told.memory, told.precisions) == ("host", "a CPU", 1 << 34, PRECISIONS)

    asyncio.run(body())


def test_a_tenant_that_comes_back_begins_anew(digits):
    async def body() -> None:
        it = local(Gateway())
        serve(it, *digits)
        await it.look()
        await it.look()
        assert it.observation(KEY).figures.device_seconds == 4.0
        assert it.profiles == {profile_name("ab" * 32, "a CPU")}

        it.site.catalog.remove([KEY])
        it.reconciler.observe(Removed(KEY))
        await it.look()
        assert it.profiles == frozenset()
        assert it._gauge.seconds(KEY) == 0.0

        serve(it, *digits)
        await it.look()
        assert it.observation(KEY).figures.device_seconds == 2.0

    asyncio.run(body())


def test_a_device_whose_executor_is_gone_says_so_of_its_tenants(digits):
    async def body() -> None:
        gateway = Gateway()
        it = local(gateway)
        serve(it, *digits)
        await it.look()
        gateway.silent = True
        await it.look()
        assert it.observation(KEY).fault == "", "it may have been a restart"
        await it.look()
        assert it.observation(KEY).fault == it.describe().reason != ""
        gateway.silent = False
        await it.look()
        assert it.observation(KEY).fault == it.describe().reason == ""

    asyncio.run(body())


def test_a_driver_that_hangs_is_the_devices_fault_and_is_not_asked_again_meanwhile(digits, monkeypatch):
    monkeypatch.setattr(device, "HARDWARE_SECONDS", 0.05)
    asked, answer = [], Event()

    def fault() -> str:
        asked.append(None)
        answer.wait(30.0)
        return ""

    async def body() -> None:
        it = local(Gateway(), fault)
        serve(it, *digits)
        for look in range(3):
            async with asyncio.timeout(5.0):
                await it.look()
            assert it.describe().reason == "its driver does not answer"
            assert it.observation(KEY).fault == "", "it serves as long as its executor answers"
            assert it.observation(KEY).figures.device_seconds == 2.0 * (look + 1), "all else is looked at as before"
        assert len(asked) == 1
        answer.set()
        await asyncio.sleep(0.05)
        await it.look()
        assert it.describe().healthy
        await it.look()
        assert len(asked) == 2

    try:
        asyncio.run(body())
    finally:
        answer.set()


def test_how_a_tier_runs_is_told_as_it_is_by_now_and_the_operators_discount_follows(digits, replica):
    async def statuses() -> list[ReplicaStatus]:
        gateway = Gateway()
        it, told = local(gateway), [ReplicaStatus()]
        serve(it, *digits)
        for implementations in ({}, {"large": SEGMENTS}, {"large": MERGED}):
            gateway.verdict = {"implementations": implementations}
            await it.look()
            status = status_of(Assignment(one, one), it.observation(KEY), "10.0.0.7:8000", told[-1], NOW)
            assert flipped(told[-1], status), "it is told at once"
            told.append(status)
        return told[1:]

    def merges(status: ReplicaStatus) -> bool:
        """Whether the operator reckons with company for the first tier."""
        view = view_tenant(replace(one.tenant, tiers=one.tenant.tiers[:1]))
        profile = make_profile("large", 0.010, batches=[(2, 0.010)], architecture="a")
        profile = replace(profile, sha256=status.tiers[0].sha256)
        snapshot = make_snapshot([view], [make_node()], [make_replica(view, tiers=status.tiers[:1])], [profile])
        cost = Knowledge(snapshot).cost(view.tenant, view.tenant.tiers[0], GPU)
        assert (cost.architecture != "") == (cost.share(2) < 1.0)
        return cost.architecture != ""

    one = replica()
    told = asyncio.run(statuses())
    assert [[tier.implementation for tier in status.tiers] for status in told] == [
        [MERGED, MERGED],
        [SEGMENTS, MERGED],
        [MERGED, MERGED],
    ]
    assert [merges(status) for status in told] == [True, False, True]


@pytest.mark.parametrize(
    ("verdict", "device_stretch", "refined"),
    [
        ({"straggling": False}, 1.0, True),
        ({"straggling": None}, 1.0, True),  # nothing judges that
        ({"straggling": False, "stretch": 1.1}, 1.1, True),
        ({"straggling": False, "stretch": 1.4}, 1.0, False),  # not judged yet
        ({"straggling": True, "stretch": 1.0}, 1.0, False),
        ({"straggling": False}, 1.5, False),  # all of the device's launches take longer: it throttles
    ],
)
def test_profiles_are_not_refined_by_what_is_slower_than_usual(digits, verdict, device_stretch, refined):
    told: list[float] = []

    async def body() -> None:
        gateway = Gateway()
        it = local(gateway, measured=lambda _, __, batches: told.extend(seconds for _, seconds in batches))
        one, served = digits
        requests = it.site.requests.of(TenantSeries("digits", "default", ("large", "small")))
        serve(it, one, served)
        assert told == [1e-3], "what its load has measured"
        told.clear()
        gateway.verdict, gateway.device_stretch = {**verdict, "correction": 1.5}, device_stretch
        for _ in range(FEW):
            requests.answered("large", 90.0, 0.002, in_time=True)
        await it.look()
        assert told == ([1.5e-3] if refined else [])

    asyncio.run(body())


def test_answers_of_a_tier_that_is_gone_say_nothing_of_those_that_stay(digits):
    async def body() -> None:
        it, (one, served) = local(Gateway()), digits
        serve(it, one, served)
        await it.look()
        requests = it.site.requests.of(TenantSeries("digits", "default", ("large", "small")))
        requests.answered("large", 0.95, 0.01, in_time=True)
        await it.look()
        assert it.observation(KEY).active_tier == "large"

        version = msgspec.structs.replace(served.version, tiers=served.version.tiers[1:])
        fewer = replace(served, version=version, implementations=("merged",), service_seconds=(1e-4,), batches=((),))
        it.site.catalog.put(Entry(replace(one, tiers=one.tiers[1:]), fewer))
        it.reconciler.observe(Serving(replace(one, tiers=one.tiers[1:]), fewer, (ARTIFACT,)))
        await it.look()
        assert it.observation(KEY).active_tier is None

    asyncio.run(body())
