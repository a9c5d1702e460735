"""What a real executor says of itself is what it did: messages a request, launches a signature, seconds a launch."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from treadle_agent.executor.channel import FrontEndChannel
from treadle_agent.executor.protocol import Done, Mode, Submit
from treadle_agent.executor.statistics import BOUNDS
from treadle_agent.executor.supervisor import TRACE_TIMEOUT

KERNELS = 9  # of models.mlp: four layers and their activations, and a softmax
REQUESTS = 40


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """All messages between the front end and executors, both ways, in order."""
    seen: list[object] = []
    made, post = FrontEndChannel.__init__, FrontEndChannel.post

    def make(self: FrontEndChannel, on_messages: Callable[[list[Any]], None], on_lost: Callable[[], None]) -> None:
        def arrived(batch: list[Any]) -> None:
            seen.extend(batch)
            on_messages(batch)

        made(self, arrived, on_lost)

    def noted(self: FrontEndChannel, message: Any) -> None:
        seen.append(message)
        post(self, message)

    monkeypatch.setattr(FrontEndChannel, "__init__", make)
    monkeypatch.setattr(FrontEndChannel, "post", noted)
    return seen


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)
def test_a_request_of_many_kernels_is_two_messages(bench: Any, models: Any, messages: list[object], mode: Mode) -> None:
    async def scenario() -> None:
        async with bench(mode) as house:
            tenants = [await house.load(models.mlp, seed) for seed in range(4)]
            before = await house.statistics()
            messages.clear()
            for tenant in tenants:
                await house.check(tenant, 1)
            assert [type(message) for message in messages] == [Submit, Done] * 4
            messages.clear()
            await asyncio.gather(*(house.check(tenant, 2) for tenant in tenants))
            assert Counter(map(type, messages)) == {Submit: 4, Done: 4}
            after = await house.statistics()
            assert after["problems"] - before["problems"] == 8 * KERNELS

    asyncio.run(scenario())


def test_latencies_by_signature_are_those_of_the_launches(bench: Any, models: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"

    async def scenario() -> dict[str, Any]:
        async with bench(Mode.SPACE_TIME) as house:
            house.supervisor.trace(trace)  # before the first launch: every one is in it
            tenants = [await house.load(models.mlp, seed) for seed in range(3)]
            for index in range(REQUESTS):
                await house.check(tenants[index % 3], index)
            await asyncio.gather(*(house.check(tenant, 99) for tenant in tenants))
            await house.supervisor.end_trace()
            return dict(await house.statistics())

    document = asyncio.run(scenario())
    took: dict[str, list[tuple[float, int, int]]] = {}
    for event in json.loads(trace.read_text())["traceEvents"]:
        if event.get("cat") != "kernel":
            continue
        args = event["args"]
        took.setdefault(event["name"], []).append((event["dur"] / 1e6, args["launches"], args["problems"]))

    assert took.keys() == document["signatures"].keys()
    assert sum(entry["launches"] for entry in document["signatures"].values()) == document["launches"]
    for signature, entry in document["signatures"].items():
        runs = took[signature]
        counts = entry["latency"]["counts"]
        assert sum(counts) == len(runs), "one for each time that problems ran together"
        assert entry["launches"] == sum(launches for _, launches, _ in runs)
        assert entry["problems"] == sum(problems for _, _, problems in runs)
        assert entry["latency"]["seconds"] == pytest.approx(sum(seconds for seconds, _, _ in runs))
        for quantile in (0.5, 0.9, 0.99):
            wanted = bisect_left(BOUNDS, float(np.quantile([run[0] for run in runs], quantile, method="higher")))
            place = np.ceil(quantile * (len(runs) - 1)) + 1
            found = next(bucket for bucket, total in enumerate(accumulate(counts)) if total >= place)
            assert found == wanted, (signature, quantile)
    assert max(sum(entry["latency"]["counts"]) for entry in document["signatures"].values()) >= REQUESTS


def test_an_executor_that_starts_again_measures_nothing(bench: Any, models: Any, tmp_path: Path) -> None:
    async def start() -> tuple[int, int]:
        async with bench(Mode.SPACE_TIME, tuning=str(tmp_path / "tuning")) as house:
            for build in (models.mlp, models.conv):
                await house.check(await house.load(build, 1), 1)
            tuning = (await house.statistics())["tuning"]
            return tuning["hits"], tuning["misses"]

    hits, misses = asyncio.run(start())
    assert hits == 0
    assert misses >= 2
    assert asyncio.run(start()) == (misses, 0)


def test_launches_of_a_steady_trace_were_bound_before(bench: Any, models: Any) -> None:
    async def scenario() -> tuple[int, int]:
        async with bench(Mode.SPACE_TIME) as house:
            tenants = [await house.load(models.mlp, seed) for seed in range(8)]
            x = np.zeros((1, 24), np.float32)

            async def client(tenant: Any, requests: int) -> None:
                for _ in range(requests):
                    await house.infer(tenant, x)

            await asyncio.gather(*(client(tenant, 600) for tenant in tenants))
            before = (await house.statistics())["plans"]
            await asyncio.gather(*(client(tenant, 600) for tenant in tenants))
            after = (await house.statistics())["plans"]
            return after["hits"] - before["hits"], after["misses"] - before["misses"]

    hits, misses = asyncio.run(scenario())
    assert hits + misses >= 600
    assert hits / (hits + misses) >= 0.99


def test_a_timeline_that_cannot_be_written_costs_nobody_an_answer(bench: Any, models: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            tenant = await house.load(models.mlp, 1)
            house.supervisor.trace(tmp_path / "nowhere" / "trace.json")
            await house.check(tenant, 1)
            await house.supervisor.end_trace()
            await house.check(tenant, 2)
            assert (await house.statistics())["supervisor"]["restarts"] == 0

    asyncio.run(scenario())


def test_a_timeline_is_lost_with_its_process_and_nobody_waits_for_it(bench: Any, models: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            tenant = await house.load(models.mlp, 1)
            house.supervisor.trace(tmp_path / "trace.json")
            await house.check(tenant, 1)
            os.kill(house.supervisor._process.pid, signal.SIGKILL)
            await asyncio.wait_for(house.supervisor.end_trace(), TRACE_TIMEOUT * 0.8)
            await house.check(tenant, 2)
            assert (await house.statistics())["supervisor"]["restarts"] == 1

    asyncio.run(scenario())
    assert not list(tmp_path.glob("*trace*"))
