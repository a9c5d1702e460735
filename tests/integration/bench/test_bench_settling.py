"""When a server counts as settled, and what is made of one that answers nothing: against servers made up here."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import numpy as np
import pytest
from aiohttp import web

from treadle.bench.serving.measure import saturation
from treadle.bench.serving.server import RunningServer, ServerError
from treadle.load.targets import infer_target

INPUTS = ({"x": np.zeros((1, 4), np.float32)},)
TARGET = infer_target("t", INPUTS, binary=False)
WORKLOAD = SimpleNamespace(models={"t": None}, inputs=INPUTS, expected=lambda _: ())


class Made:
    """A server that takes `seconds` for each answer, and refuses after `most` of them."""

    def __init__(self, seconds: float = 0.0, most: int = 1000) -> None:
        self.seconds, self.most, self.asked = seconds, most, 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return web.json_response({"outputs": []}, status=200 if self.asked <= self.most else 503)


def play(made: Made, folder, use: Callable[[RunningServer], Awaitable[object]]) -> None:
    async def run() -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", made.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = site._server.sockets[0].getsockname()[1]
            (folder / "log").touch()
            await use(RunningServer("made", SimpleNamespace(returncode=None), port, folder / "log"))
        finally:
            await runner.cleanup()

    asyncio.run(run())


def test_on_a_slow_machine_a_server_comes_to_rest_within_what_is_asked_for(tmp_path) -> None:
    made = Made(0.08)
    play(made, tmp_path, lambda server: server.settle(TARGET, within=5.0))
    assert made.asked == 3


def test_what_is_quick_is_measured_when_the_server_becomes_ready(tmp_path) -> None:
    made = Made(0.08)

    async def use(server: RunningServer) -> None:
        await server.wait_until_ready(WORKLOAD)
        asked = made.asked
        await server.settle(TARGET)
        assert made.asked == asked + 3

    play(made, tmp_path, use)


def test_a_server_that_has_become_slower_has_not_settled(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("treadle.bench.serving.server._SETTLE_SECONDS", 1.0)
    made = Made(0.02)

    async def use(server: RunningServer) -> None:
        await server.wait_until_ready(WORKLOAD)
        made.seconds = 0.4
        with pytest.raises(ServerError, match="had not come to rest"):
            await server.settle(TARGET)

    play(made, tmp_path, use)


def test_a_server_that_answers_nothing_has_no_saturation(tmp_path) -> None:
    async def use(server: RunningServer) -> None:
        with pytest.raises(ServerError, match="made answered nothing"):
            await saturation(server, [TARGET], concurrency=2, seconds=0.3)

    play(Made(most=3), tmp_path, use)
