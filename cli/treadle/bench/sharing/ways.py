"""The ways in which tenants share a GPU, and their executors started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from treadle.bench.serving.workload import Workload
from treadle_agent.executor import worker
from treadle_agent.executor.executor_process import WorkerMain
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Mode, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.loader import Loader

DEADLINE = 30.0  # seconds: nothing is shed, so that only speed is compared
QUEUE_LIMIT = 1024  # requests


@dataclass(frozen=True, slots=True)
class Way:
    """`apart`: a process a tenant, which the driver lets run in turns, or side by side where `mps` is on."""

    name: str
    mode: Mode
    apart: bool = False
    mps: bool = False


WAYS = (
    Way("space-time", Mode.SPACE_TIME),
    Way("time", Mode.TIME),  # one process, a tenant at a time
    Way("streams", Mode.SPACE),  # one process, a stream a tenant
    Way("processes", Mode.TIME, apart=True),
    Way("mps", Mode.TIME, apart=True, mps=True),
)


@dataclass(frozen=True, slots=True)
class Seat:
    """A tenant, and the executor that serves it."""

    supervisor: Supervisor
    served: Served


@asynccontextmanager
async def seated(
    way: Way, workload: Workload, device: str, cache: Path, main: WorkerMain = worker.main
) -> AsyncIterator[list[Seat]]:
    """All tenants of `workload` loaded; `main`: what executor processes run.

    Raises:
        ModelError: a model cannot be compiled.
        RefusedError: one cannot be loaded there.
        OSError, EOFError: no process can be started.
    """
    async with AsyncExitStack() as stack:
        loader = Loader(cache)
        stack.callback(loader.close)
        seats: list[Seat] = []
        for number, (tenant, model) in enumerate(workload.models.items(), 1):
            artifact = await asyncio.to_thread(loader.compile, model)
            if way.apart or not seats:
                supervisor = await Supervisor.start(main, WorkerSettings(device=device, mode=way.mode), loader.bind)
                stack.push_async_callback(supervisor.close)
            tiers = (TierSpec("only", 90.0, str(artifact)),)
            served = await supervisor.load(Version(number, tenant, DEADLINE, 0, QUEUE_LIMIT, tiers))
            seats.append(Seat(supervisor, served))
        yield seats
