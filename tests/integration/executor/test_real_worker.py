"""The supervisor over the real executor process and the real loader."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import losing_worker
import numpy as np
import onnx
import pytest
import refusing_worker
import trapped_worker
from onnx import TensorProto, helper, numpy_helper
from trapped_worker import HANG, TRAP

from treadle_agent.executor import worker
from treadle_agent.executor.executor_process import WorkerMain
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Done, Mode, Outcome, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.loader import Loader

WIDTH = 12


class Tenants:
    """Tenants of one architecture, `depth` times ``y = tanh(x w)``, with weights of their own, behind a supervisor."""

    depth = 1

    def __init__(self, supervisor: Supervisor, loader: Loader, folder: Path) -> None:
        self.supervisor = supervisor
        self.loader = loader
        self.folder = folder
        self.weights: dict[int, np.ndarray] = {}

    async def load(self, number: int) -> Served:
        self.weights[number] = np.random.default_rng(number).standard_normal((WIDTH, WIDTH)).astype(np.float32) / 4
        names = ["x", *(f"y{step}" for step in range(1, self.depth)), "y"]
        nodes = []
        for value, result in itertools.pairwise(names):
            nodes.append(helper.make_node("MatMul", [value, "w"], [f"{result}-h"]))
            nodes.append(helper.make_node("Tanh", [f"{result}-h"], [result]))
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in "xy")
        graph = helper.make_graph(nodes, "tenant", [x], [y], [numpy_helper.from_array(self.weights[number], "w")])
        path = self.folder / f"{number}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        artifact = await asyncio.to_thread(self.loader.compile, path)
        tiers = (TierSpec("only", 90.0, str(artifact)),)
        return await self.supervisor.load(Version(number, f"tenant-{number}", 1.0, 0, 1000, tiers))

    async def ask(self, served: Served, x: np.ndarray) -> Done:
        """One request; checks that a DONE answer is the right one."""
        call = self.supervisor.open(served, (x.shape,))
        try:
            call.inputs[0][:] = x
            done = await self.supervisor.answer(call, time.monotonic() + 60)
            if done.outcome == Outcome.DONE:
                expected = x
                for _ in range(self.depth):
                    expected = np.tanh(expected @ self.weights[served.version.id])
                np.testing.assert_allclose(call.outputs[0], expected, rtol=1e-5, atol=1e-6)
            return done
        finally:
            call.release()


@pytest.fixture
def tenants(tmp_path: Path) -> Callable[..., None]:
    """Runs an async function with tenants of the real executor."""
    loader = Loader(tmp_path / "artifacts")

    def run(
        body: Callable[[Tenants], Awaitable[None]],
        main: WorkerMain,
        settings: WorkerSettings = WorkerSettings(),  # noqa: B008 - frozen
        allowed: SupervisorSettings = SupervisorSettings(),  # noqa: B008 - frozen
    ) -> None:
        async def whole() -> None:
            supervisor = await Supervisor.start(main, settings, loader.bind, allowed)
            try:
                await body(Tenants(supervisor, loader, tmp_path))
                assert len(supervisor._requests.blocks) == 0
            finally:
                await supervisor.close()

        asyncio.run(whole())

    return run


@pytest.mark.parametrize("mode", list(Mode))
def test_killed_under_load_every_request_is_answered(tenants, mode: Mode) -> None:
    async def body(house: Tenants) -> None:
        served = [await house.load(number) for number in range(1, 5)]
        ends = time.monotonic() + 2.0
        answers = 0

        async def client(seed: int) -> None:
            nonlocal answers
            random_ = random.Random(seed)
            numbers = np.random.default_rng(seed)
            while time.monotonic() < ends:
                x = numbers.standard_normal((random_.randint(1, 3), WIDTH)).astype(np.float32)
                done = await house.ask(random_.choice(served), x)
                assert done.outcome == Outcome.DONE, done
                answers += 1

        clients = [asyncio.ensure_future(client(seed)) for seed in range(30)]
        for _ in range(2):
            await asyncio.sleep(0.6)
            process = house.supervisor._process
            assert process is not None
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.gather(*clients)
        counters = (await house.supervisor.statistics())["supervisor"]
        assert counters["restarts"] == 2
        assert counters["replays"] > 0
        assert counters["isolated"] == {}
        assert answers > 200

    tenants(body, worker.main, WorkerSettings(mode=mode))


async def blame(house: Tenants, healthy: int, bad: np.ndarray, reason: str) -> None:
    """One tenant more than the healthy ones sends `bad` amid their requests: it alone gets no answer, for `reason`."""
    served = [await house.load(number) for number in range(1, healthy + 2)]
    good = np.ones((1, WIDTH), np.float32)
    asks = [house.ask(one, good * step / 20) for step in range(20) for one in served[:healthy]]
    asks.insert(43, house.ask(served[healthy], bad))
    done = await asyncio.gather(*asks)
    culprit = done.pop(43)
    failed = [one for one in done if one.outcome != Outcome.DONE]
    assert (culprit.outcome, failed) == (Outcome.ERROR, [])
    assert reason in culprit.reason
    counters = (await house.supervisor.statistics())["supervisor"]
    assert counters["restarts"] == 2
    assert list(counters["isolated"]) == [str(healthy + 1)]
    assert (await house.ask(served[healthy], good)).outcome == Outcome.ERROR
    assert (await house.ask(served[0], good)).outcome == Outcome.DONE


def test_the_culprit_is_isolated_and_the_others_are_answered(tenants) -> None:
    bad = np.full((1, WIDTH), TRAP, np.float32)
    tenants(lambda house: blame(house, 5, bad, "signal SIGABRT"), trapped_worker.main)


def test_a_hung_kernel_is_ended_its_tenant_isolated_and_the_others_are_answered(tenants) -> None:
    bad = np.full((1, WIDTH), TRAP, np.float32)
    bad[0, 1] = HANG
    allowed = SupervisorSettings(hang_floor=2.0)
    tenants(lambda house: blame(house, 5, bad, "a launch ran for 2"), trapped_worker.main, allowed=allowed)


DEPTH = 4


@pytest.mark.parametrize("kernel", random.Random(7).sample(range(2 * DEPTH), 3))
def test_an_illegal_access_on_a_gpu_isolates_the_culprit_and_the_others_are_answered(
    tenants, monkeypatch: pytest.MonkeyPatch, kernel: int
) -> None:
    """On the stand-in for a GPU, at a random kernel of a request's."""
    monkeypatch.setattr(Tenants, "depth", DEPTH)
    bad = np.ones((1, WIDTH), np.float32)
    bad[0, :2] = TRAP, kernel
    settings = WorkerSettings(device="cuda")
    tenants(lambda house: blame(house, 3, bad, "illegal memory access"), refusing_worker.main, settings)


def test_a_gpu_that_is_lost_while_outputs_are_copied_costs_no_answer_and_blames_nobody(tenants, tmp_path: Path) -> None:
    """On the stand-in for a GPU."""
    tuning = tmp_path / "tuning"
    tuning.mkdir()

    async def body(house: Tenants) -> None:
        served = [await house.load(number) for number in range(1, 4)]
        x = np.ones((1, WIDTH), np.float32)
        done = await asyncio.gather(*(house.ask(one, x * step / 20) for step in range(20) for one in served))
        assert {one.outcome for one in done} == {Outcome.DONE}
        assert (tuning / losing_worker.LOST).exists()
        counters = (await house.supervisor.statistics())["supervisor"]
        assert (counters["restarts"], counters["isolated"]) == (1, {})

    tenants(body, losing_worker.main, WorkerSettings(device="cuda", tuning=str(tuning)))
