"""One run of load against one running server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treadle.bench.analysis import Summary, summarise, throughput
from treadle.bench.serving.server import QUICK_SECONDS, RunningServer, ServerError
from treadle.load.process import LoadProcess
from treadle.load.records import Batch, concatenate
from treadle.load.schedule import Phase, Schedule, at_once, poisson
from treadle.load.targets import Target

_WARM_UP = 0.25  # share of a run that is not counted
_CONNECTIONS = 2048  # of open loops: several deadlines' worth of requests, so that servers see the overload
_CEILING_RPS = 60_000  # of closed loops: above what any server here reaches
_GRACE_DEADLINES = 4.0
_FEWEST_REQUESTS, _LONGEST = 100, 4.0  # a run of a slow model is made longer, up to this many times


@dataclass(frozen=True, slots=True)
class OpenRun:
    """One open-loop run: what came of it, the server's CPU seconds for each answer, the mean number of problems a
    launch held (0 where the server reports none), and the generator's share of one core.
    """

    summary: Summary
    cpu_seconds: float
    merge_factor: float
    generator_load: float


async def saturation(
    server: RunningServer,
    targets: Sequence[Target],
    *,
    concurrency: int,
    seconds: float,
    within: float = QUICK_SECONDS,
) -> float:
    """Answers per second in a closed loop, once the server answers `within` so many seconds; raises ServerError where
    there was no answer, since no load can be a multiple of that.
    """
    await server.settle(targets[0], within)
    schedule = at_once(int(_CEILING_RPS * seconds), len(targets), seconds=seconds)
    batch, _ = await _load(server, targets, schedule, concurrency, grace=0.0)
    rps = throughput(batch.records, begin=_WARM_UP * seconds, end=seconds)
    if not rps:
        raise ServerError(f"{server.name} answered nothing in a closed loop of {seconds:g} s")
    return rps


async def open_run(
    server: RunningServer, targets: Sequence[Target], *, rate: float, seconds: float, deadline: float, seed: int
) -> OpenRun:
    """Poisson load of `rate` requests per second, spread evenly over the targets, for `seconds` (longer where they
    would hold too few requests).
    """
    await server.settle(targets[0])
    seconds = max(seconds, min(_FEWEST_REQUESTS / rate, _LONGEST * seconds))
    schedule = poisson([Phase(seconds, rate)], seed=seed, weights=[1.0] * len(targets))
    usage, merges = server.usage(), await server.merges()
    batch, process = await _load(server, targets, schedule, _CONNECTIONS, grace=_GRACE_DEADLINES * deadline)
    used, merged = server.usage(), await server.merges()
    answers = int((batch.records["status"] == 200).sum())
    launches = merged[1] - merges[1]
    return OpenRun(
        summary=summarise(batch.records, deadline=deadline, begin=_WARM_UP * seconds, end=seconds),
        cpu_seconds=(used.cpu_seconds - usage.cpu_seconds) / max(answers, 1),
        merge_factor=(merged[0] - merges[0]) / launches if launches else 0.0,
        generator_load=process.cpu_seconds / process.wall_seconds,
    )


async def _load(
    server: RunningServer, targets: Sequence[Target], schedule: Schedule, connections: int, *, grace: float
) -> tuple[Batch, LoadProcess]:
    async with LoadProcess(targets, schedule, server.url, connections=connections, grace=grace) as process:
        return concatenate([batch async for batch in process]), process
