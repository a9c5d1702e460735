"""What merging gains where nothing else limits: the executor alone, small tenants under load, no HTTP (issue §4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from treadle.bench.serving.workload import Workload
from treadle_agent.executor import worker
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Mode, Outcome, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.loader import Loader

CONCURRENCY = 128  # requests under way
DEADLINE = 5.0  # seconds: nothing is shed, so that only throughput is compared


async def executor_throughput(workload: Workload, mode: Mode, cache: Path, seconds: float) -> tuple[float, float]:
    """Requests a second that one executor answers in `mode`, and the mean problems of its launches meanwhile.

    Raises:
        RuntimeError: a request was not answered.
    """
    loader = Loader(cache)
    supervisor = await Supervisor.start(worker.main, WorkerSettings(mode=mode), loader.bind)
    try:
        tenants = []
        for number, (name, model) in enumerate(workload.models.items(), 1):
            artifact = await asyncio.to_thread(loader.compile, model)
            tiers = (TierSpec("only", 90.0, str(artifact)),)
            version = Version(number, name, DEADLINE, 0, 2 * CONCURRENCY, tiers)
            tenants.append(await supervisor.load(version))
        await _answer(supervisor, workload, tenants, seconds / 4)  # the first launches bind what later ones reuse
        before = await supervisor.statistics()
        begin = time.perf_counter()
        answered = await _answer(supervisor, workload, tenants, seconds)
        rate = answered / (time.perf_counter() - begin)
        after = await supervisor.statistics()
        problems, launches = (after[key] - before[key] for key in ("problems", "launches"))
        return rate, problems / launches
    finally:
        await supervisor.close()


async def _answer(supervisor: Supervisor, workload: Workload, tenants: list[Served], seconds: float) -> int:
    """Closed loop over all tenants in turn; the number of answers."""
    end = time.perf_counter() + seconds
    turns = _turns(len(tenants), len(workload.inputs))
    counts = await asyncio.gather(*(_client(supervisor, workload, tenants, turns, end) for _ in range(CONCURRENCY)))
    return sum(counts)


async def _client(
    supervisor: Supervisor, workload: Workload, tenants: list[Served], turns: Iterator[tuple[int, int]], end: float
) -> int:
    answered = 0
    while time.perf_counter() < end:
        tenant, variant = next(turns)
        served = tenants[tenant]
        arrays = [workload.inputs[variant][spec.name] for spec in served.inputs]
        call = supervisor.open(served, tuple(array.shape for array in arrays))
        try:
            for view, array in zip(call.inputs, arrays, strict=True):
                view[...] = array
            done = await supervisor.answer(call, time.monotonic() + DEADLINE)
            if done.outcome != Outcome.DONE:
                raise RuntimeError(f"{served.version.tenant}: {done.reason}")
        finally:
            call.release()
        answered += 1
    return answered


def _turns(tenants: int, variants: int) -> Iterator[tuple[int, int]]:
    number = 0
    while True:
        yield number % tenants, number % variants
        number += 1
