"""The profile's load is an open loop: who comes while others wait, waits too, and that is counted."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
from operator_objects import make_tenant
from rich.console import Console

from treadle.profile.latency import measure
from treadle.profile.latency.client import UNDER_WAY, Client
from treadle.profile.latency.measure import Plan
from treadle.profile.latency.report import Report, Tier
from treadle.profile.latency.table import show
from treadle_agent.executor.gateway import FullError, Served
from treadle_agent.executor.protocol import Outcome, Version
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact

ARTIFACT = Artifact(ARTIFACT_VERSION, "ab" * 32, "", (), (), True, (), 0, (), "", {}, {})
SERVICE = 0.02  # seconds


class Gateway:
    """A gateway whose device answers one request at a time; a double."""

    def __init__(self) -> None:
        self.device = asyncio.Lock()

    def bound(self, *_: Any) -> bool:
        return True

    def open(self, *_: Any) -> Any:
        return SimpleNamespace(inputs=[], release=lambda: None)

    async def answer(self, *_: Any) -> Any:
        async with self.device:
            await asyncio.sleep(SERVICE)
        return SimpleNamespace(outcome=Outcome.DONE)


class Stalled(Gateway):
    """Answers nobody before `requests` wait, of which it takes as many as the version's limit allows."""

    def __init__(self, requests: int, limit: int) -> None:
        super().__init__()
        self.requests, self.limit = requests, limit
        self.waiting = 0
        self.moves = asyncio.Event()

    def open(self, *_: Any) -> Any:
        if self.waiting >= self.limit:
            raise FullError(f"{self.waiting} requests are waiting, which is its limit")
        self.waiting += 1
        return super().open()

    async def answer(self, *_: Any) -> Any:
        if self.waiting >= self.requests:
            self.moves.set()
        await self.moves.wait()
        return SimpleNamespace(outcome=Outcome.DONE)


SERVED: Any = SimpleNamespace(version=SimpleNamespace(tenant="digits"), inputs=(), batchable=True)


@pytest.mark.parametrize(("waiting", "borne"), [(5000, True), (UNDER_WAY + 1000, False)])
def test_a_load_is_left_out_only_where_more_wait_than_a_stall_explains(waiting: int, borne: bool) -> None:
    async def body() -> list[float] | None:
        version = measure._version(1, make_tenant(), make_tenant().tiers[0], Path())
        gateway = Stalled(min(waiting, version.queue_limit), version.queue_limit)
        async with asyncio.timeout(60.0):
            return await Client(gateway, SERVED, []).load(waiting / 0.02, 0.021, seed=3)  # type: ignore[arg-type]

    took = asyncio.run(body())
    assert (took is not None) == borne
    assert took is None or len(took) >= waiting


def test_the_sparsest_load_has_a_request() -> None:
    for seed in range(20):
        took = asyncio.run(Client(Gateway(), SERVED, []).load(1e-3, 0.01, seed))  # type: ignore[arg-type]
        assert took is not None
        assert len(took) == 1


def test_what_a_tier_did_not_bear_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Overloaded(Client):
        async def alone(self, _: int) -> float:
            return 0.001

        async def saturate(self, _: float) -> float:
            return 1000.0

        async def load(self, rate: float, *_: Any) -> list[float] | None:
            return [0.002] * 5 if rate < 850.0 else None

    async def body() -> Tier:
        return await measure._tier(Loading(), version, ARTIFACT, Plan("host", 0.001, {}), str)  # type: ignore[arg-type]

    class Loading:
        async def load(self, version: Version) -> Served:
            return Served(version, (), (), True, ("merged",), (0.001,))

    monkeypatch.setattr(measure, "Client", Overloaded)
    version = measure._version(1, make_tenant(), make_tenant().tiers[0], Path())
    tier = asyncio.run(body())
    rates = [share * 1000.0 for share in measure.SHARES]
    assert [load.requests_per_second for load in tier.loads] == pytest.approx(rates[:-2])
    assert tier.unborne == pytest.approx(rates[-2:])
    output = io.StringIO()
    show(Report("digits.default", "host", "a CPU", False, (tier,)), Console(file=output, width=120))
    assert sum("not borne" in line for line in output.getvalue().splitlines()) == 2


@pytest.mark.parametrize(("rate", "least", "most"), [(5.0, 0.9 * SERVICE, 4 * SERVICE), (150.0, 10 * SERVICE, 5.0)])
def test_latency_counts_from_when_a_request_was_due(rate: float, least: float, most: float) -> None:
    async def body() -> list[float] | None:
        client = Client(Gateway(), SERVED, [])  # type: ignore[arg-type]
        return await client.load(rate, 0.6, seed=3)

    took = asyncio.run(body())
    assert took is not None
    assert least < median(took[len(took) // 2 :]) < most
