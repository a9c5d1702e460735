from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import uvloop

from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Done, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program import forkserver
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_agent.program.errors import ModelError
from treadle_agent.program.model import Port, Program, Shape, TensorType

sys.path.insert(0, str(Path(__file__).parent / "doubles"))  # the executor process imports it by name

import worker_double

FAST = SupervisorSettings(memory_bytes=16 << 20, hang_floor=0.6, silence=2.0, grace=0.3)


class House:
    """A supervisor over the double, artifacts that suit it, and helpers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = 0
        self.compiled: list[tuple[Shape, ...]] = []
        self.slow, self.gate = set[int](), threading.Event()  # widths that wait for the gate
        self.wrong = set[int]()
        self.supervisor: Supervisor

    async def open(self, settings: SupervisorSettings = FAST) -> None:
        self.supervisor = await Supervisor.start(worker_double.main, WorkerSettings(), self.compile, settings)

    def artifact(self, name: str, shape: Shape = (-1, 16)) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        spec = TensorSpec("x", "float32", shape), TensorSpec("y", "float32", shape)
        artifact = Artifact(
            version=ARTIFACT_VERSION,
            model_sha256="",
            architecture="",
            inputs=spec[:1],
            outputs=spec[1:],
            batchable=True,
            weights=(),
            weight_bytes=0,
            segments=(),
            kernels_refused="",
            external={},
            checksums={},
        )
        (folder / "artifact.json").write_bytes(msgspec.json.encode(artifact))
        return folder

    def compile(self, _: Path, shapes: Mapping[str, Shape]) -> Program:
        assert threading.current_thread() is not threading.main_thread(), "compiling must not stop the loop"
        self.compiled.append(tuple(shapes.values()))
        if shapes["x"][-1] in self.slow:
            assert self.gate.wait(20.0)
        if shapes["x"][-1] in self.wrong:
            raise ModelError("such widths do not fit")
        values = (TensorType("float32", shapes["x"]),) * 2
        return Program((Port("x", 0),), (Port("y", 1),), values, (0, 1024), 2048, (), (), ())

    def version(self, tenant: str, shape: Shape = (-1, 16), queue_limit: int = 10_000) -> Version:
        self.versions += 1
        tier = TierSpec("only", 90.0, str(self.artifact(f"{tenant}-{self.versions}", shape)))
        return Version(self.versions, tenant, 1.0, 0, queue_limit, (tier,))

    async def load(self, tenant: str, **terms: Any) -> Served:
        return await self.supervisor.load(self.version(tenant, **terms))

    async def ask(self, served: Served, value: float, *, rows: int = 1, deadline: float = 20.0) -> Done:
        """One request; checks that a DONE answer is the right one."""
        call = self.supervisor.open(served, ((rows, *served.inputs[0].shape[1:]),))
        try:
            call.inputs[0][:] = value
            done = await self.supervisor.answer(call, time.monotonic() + deadline)
            if done.outcome == 0:
                np.testing.assert_array_equal(call.outputs[0], np.float32(value) * 2 + np.float32(served.version.id))
            return done
        finally:
            call.release()

    async def counters(self) -> dict[str, Any]:
        return dict((await self.supervisor.statistics())["supervisor"])

    @property
    def pid(self) -> int:
        """The executor process's."""
        process = self.supervisor._process
        assert process is not None
        assert process.pid is not None
        return process.pid

    @staticmethod
    def descriptors() -> int:
        """Open in this process."""
        return len(list(Path("/proc/self/fd").iterdir()))

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited too long"
            await asyncio.sleep(0.01)


@pytest.fixture
def house(tmp_path: Path) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    """Runs an async function with a house, and checks that nothing is left of it."""

    def run(
        body: Callable[[House], Awaitable[None]],
        settings: SupervisorSettings = FAST,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        async def whole() -> None:
            house = House(tmp_path)
            await house.open(settings)
            try:
                await body(house)
                process = house.supervisor._process
                pid = process.pid if process is not None else 0
            finally:
                await house.supervisor.close()
            assert not pid or not alive(pid)
            assert len(house.supervisor._requests.blocks) == 0
            assert len(house.supervisor._requests) == 0

        descriptors = House.descriptors()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(whole())
        gc.collect()  # arrays over the shared memory keep it mapped
        assert House.descriptors() <= descriptors

    forkserver.context()  # its descriptors belong to no house, nor do those that uvloop opens once
    uvloop.new_event_loop().close()
    return run


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
