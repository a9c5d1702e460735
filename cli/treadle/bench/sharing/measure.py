"""One way at work: every tenant keeps a few requests under way, and each answer is timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treadle.bench.serving.workload import Workload
from treadle.bench.sharing.report import Row
from treadle.bench.sharing.ways import DEADLINE, Seat
from treadle.load.targets import Array
from treadle_agent.executor.protocol import Outcome

UNDER_WAY = 4  # requests of each tenant
WARM_UP = 0.25  # of the seconds: the first launches bind what later ones reuse
TOLERANCE = 1e-4


class WrongAnswerError(Exception):
    """Raised when an answer is not ONNX Runtime's, or there is none: no speed is a figure then."""


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds` from a request to its answer, by tenant, of all answers in `elapsed` seconds."""

    elapsed: float
    seconds: Sequence[Sequence[float]]
    merge_factor: float

    def row(self, suite: str, way: str) -> Row:
        """Its figures."""
        every = np.concatenate([np.asarray(one) for one in self.seconds])
        means = [float(np.mean(one)) for one in self.seconds]
        p50, p99 = (1e3 * float(np.quantile(every, share)) for share in (0.5, 0.99))
        return Row(
            suite, len(means), way, round(len(every) / self.elapsed, 1), round(p50, 4), round(p99, 4),
            round(max(means) / min(means), 3), round(self.merge_factor, 2),
        )  # fmt: skip


async def run(seats: Sequence[Seat], workload: Workload, seconds: float) -> Run:
    """Check an answer of each tenant, then time them all for so many seconds.

    Raises:
        WrongAnswerError: an answer is wrong, or missing.
        FullError, GoneError: an executor takes no more requests.
    """
    for tenant, seat in zip(workload.models, seats, strict=True):
        _, found = await _ask(seat, workload, 0)
        for one, expected in zip(found, workload.expected(tenant), strict=True):
            if not np.allclose(one, expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise WrongAnswerError(f"{tenant}: an answer is off by {np.abs(one - expected).max():g}")
    await _load(seats, workload, WARM_UP * seconds)
    before = await _launches(seats)
    begin = time.perf_counter()
    took = await _load(seats, workload, seconds)
    elapsed = time.perf_counter() - begin
    problems, launches = (after - earlier for after, earlier in zip(await _launches(seats), before, strict=True))
    return Run(elapsed, took, problems / launches)


async def _load(seats: Sequence[Seat], workload: Workload, seconds: float) -> list[list[float]]:
    end = time.perf_counter() + seconds
    took: list[list[float]] = [[] for _ in seats]
    try:
        async with asyncio.TaskGroup() as clients:
            for seat, own in zip(seats, took, strict=True):
                for _ in range(UNDER_WAY):
                    clients.create_task(_client(seat, workload, own, end))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # the first client's; the others have ended
    return took


async def _client(seat: Seat, workload: Workload, took: list[float], end: float) -> None:
    number = 0
    while number == 0 or time.perf_counter() < end:
        seconds, _ = await _ask(seat, workload, number % len(workload.inputs))
        took.append(seconds)
        number += 1


async def _ask(seat: Seat, workload: Workload, variant: int) -> tuple[float, list[Array]]:
    arrays = [workload.inputs[variant][spec.name] for spec in seat.served.inputs]
    begin = time.perf_counter()
    call = seat.supervisor.open(seat.served, tuple(array.shape for array in arrays))
    try:
        for view, array in zip(call.inputs, arrays, strict=True):
            view[...] = array
        done = await seat.supervisor.answer(call, time.monotonic() + DEADLINE)
        if done.outcome != Outcome.DONE:
            raise WrongAnswerError(f"{seat.served.version.tenant}: {done.reason}")
        return time.perf_counter() - begin, [output.copy() for output in call.outputs]
    finally:
        call.release()


async def _launches(seats: Sequence[Seat]) -> tuple[int, int]:
    """Problems and launches so far, over all executors."""
    told = [await supervisor.statistics() for supervisor in dict.fromkeys(seat.supervisor for seat in seats)]
    return sum(one["problems"] for one in told), sum(one["launches"] for one in told)
