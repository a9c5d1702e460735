"""What is known of one device, and of nobody who has left it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from treadle_agent.cluster.device import LocalDevice
from treadle_agent.cluster.hardware import DeviceFacts
from treadle_agent.cluster.settings import ClusterSettings
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.frontend.catalog import Entry
from treadle_agent.frontend.site import Site
from treadle_agent.node_events import Removed, Serving
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_api.profile import profile_name
from treadle_api.units import Bytes

KEY = "digits.default"
SPEC = (TensorSpec("x", "float32", (-1, 4)),)
ARTIFACT = Artifact(ARTIFACT_VERSION, "ab" * 32, "cd" * 32, SPEC, SPEC, True, (), 4096, (), "", {}, {})


class Gateway:
    """An executor that has spent two seconds more on the tenant with each look, also while it unloads it."""

    def __init__(self) -> None:
        self.spent = 0.0

    async def statistics(self) -> dict[str, Any]:
        self.spent += 2.0
        document = Document("host", "space-time", tenants={1: TenantStatistics(KEY, self.spent, tier="large")})
        return {**msgspec.json.decode(msgspec.json.encode(document)), "supervisor": {"restarts": 0, "replays": 0}}

    def under_way(self, _: Served) -> int:
        return 0


def test_a_tenant_that_comes_back_begins_anew(tenant):
    async def body() -> None:
        site = Site("host", Gateway())
        it = LocalDevice(
            DeviceFacts("host", "a CPU", Bytes(1 << 34)),
            site,
            ClusterSettings("alpha", "10.0.0.7:8000"),
            measured=lambda *_: None,
            fault=str,
            flipped=lambda *_: None,
        )
        one = tenant("digits")
        tiers = tuple(TierSpec(tier.name, tier.accuracy, "") for tier in one.tiers)
        served = Served(Version(1, KEY, 1.0, 5, 8, tiers), SPEC, SPEC, True, ("merged",) * 2, (1e-3, 1e-4), ((), ()))

        def serve() -> None:
            site.catalog.put(Entry(one, served))
            it.reconciler.observe(Serving(one, served, (ARTIFACT, ARTIFACT)))

        serve()
        await it.look()
        await it.look()
        assert it.observation(KEY).figures.device_seconds == 4.0
        assert it.profiles == {profile_name("ab" * 32, "a CPU")}

        site.catalog.remove([KEY])
        it.reconciler.observe(Removed(KEY))
        await it.look()
        assert it.profiles == frozenset()
        assert it._gauge.seconds(KEY) == 0.0

        serve()
        await it.look()
        assert it.observation(KEY).figures.device_seconds == 2.0

    asyncio.run(body())
