"""The switching benchmark against a real server, as short as it goes; its targets need a quiet machine and minutes."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from aiohttp import web
from rich.console import Console

from treadle.bench.progress import Progress
from treadle.bench.serving.server import RunningServer
from treadle.bench.switching.report import SWITCHING
from treadle.bench.switching.run import Benchmark, Plan
from treadle.load.targets import infer_target


def test_every_request_is_in_the_server_s_counters_and_its_worth_in_the_metric(tmp_path) -> None:
    plan = Plan(deadlines=(16.0,), rounds=1, seconds=3.0, saturation_seconds=0.5)
    with Progress(Console(stderr=True, quiet=True)) as progress:
        report = asyncio.run(Benchmark(plan, tmp_path, progress).run(quick=True, command="test"))
    assert [row.contestant for row in report.rows] == [SWITCHING, *(tier.name for tier in report.tiers)]
    assert all(row.counted_of_sent == 1.0 and row.sent > 20 for row in report.rows)
    for row in report.rows:
        # Answers at the edge of the deadline may be in time for the server and late for the client.
        assert row.scraped_accuracy == pytest.approx(row.declared_accuracy, abs=5.0)
        assert row.effective_accuracy == pytest.approx(row.declared_accuracy, abs=3.0)
        if row.contestant != SWITCHING:
            assert set(row.share_by_tier.values()) <= {0.0, 1.0}


def test_on_a_slow_machine_a_server_comes_to_rest_too(tmp_path) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        await asyncio.sleep(0.08)
        return web.json_response({"outputs": []})

    async def settle() -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = site._server.sockets[0].getsockname()[1]
            server = RunningServer("slow", SimpleNamespace(returncode=None), port, tmp_path / "log")
            await server.settle(infer_target("t", ({"x": np.zeros((1, 4), np.float32)},), binary=False), within=5.0)
        finally:
            await runner.cleanup()

    asyncio.run(settle())
    assert len(asked) == 3
