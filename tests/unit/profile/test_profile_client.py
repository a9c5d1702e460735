"""The profile's load is an open loop: who comes while others wait, waits too, and that is counted."""

from __future__ import annotations

import asyncio
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from treadle.profile.latency.client import Client
from treadle_agent.executor.protocol import Outcome

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


@pytest.mark.parametrize(("rate", "least", "most"), [(5.0, 0.9 * SERVICE, 4 * SERVICE), (150.0, 10 * SERVICE, 5.0)])
def test_latency_counts_from_when_a_request_was_due(rate: float, least: float, most: float) -> None:
    async def body() -> list[float] | None:
        served: Any = SimpleNamespace(version=SimpleNamespace(tenant="digits"), inputs=(), batchable=True)
        client = Client(Gateway(), served, [])  # type: ignore[arg-type]
        return await client.load(rate, 0.6, seed=3)

    took = asyncio.run(body())
    assert took is not None
    assert least < median(took[len(took) // 2 :]) < most
