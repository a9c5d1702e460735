"""The switching benchmark, step by step."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from treadle.bench.machine import machine, versions
from treadle.bench.progress import Progress
from treadle.bench.serving.deployment import Deployment
from treadle.bench.serving.measure import saturation
from treadle.bench.serving.server import QUICK_SECONDS, RunningServer, free_ports, running
from treadle.bench.serving.workload import Workload
from treadle.bench.switching.checks import checks
from treadle.bench.switching.contestants import (
    Pages,
    TrainedTier,
    contestants,
    tenant_name,
    train_tiers,
    write_manifests,
)
from treadle.bench.switching.counters import Counters, read_counters, read_when_counted
from treadle.bench.switching.decisions import measure_decisions
from treadle.bench.switching.report import Report, Row, Tier
from treadle.demo.scoring import outcomes, score
from treadle.demo.tenants import PAGES
from treadle.load.process import LoadProcess
from treadle.load.records import Batch, concatenate
from treadle.load.schedule import Phase, poisson

# The paper's load (Zhang et al. 2020, Fig. 4): requests/s from second on, of 300; its best tier saturates at 62.
_SHAPE = ((0.0, 35.0), (60.0, 55.0), (125.0, 165.0), (140.0, 140.0), (165.0, 90.0), (200.0, 50.0))
_SHAPE_SECONDS, _SHAPE_SATURATION = 300.0, 62.0
_CONNECTIONS = 2048
_GRACE_DEADLINES = 4.0
_CLIENTS, _CLIENTS_LEFT = 4, 1.0  # of a closed loop, and seconds in which what they left is answered on any machine
_AT_REST = 3.0  # service times of the best tier: more than one request takes alone, with HTTP


@dataclass(frozen=True, slots=True)
class Plan:
    """`deadlines`: in service times of the best tier alone; `seconds`: of one run, `rounds` of each."""

    deadlines: tuple[float, ...]
    rounds: int
    seconds: float
    saturation_seconds: float


QUICK = Plan((8.0, 16.0), 1, 10.0, 1.0)
FULL = Plan((6.0, 8.0, 12.0, 16.0, 24.0), 3, 20.0, 3.0)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all runs share; `service`: seconds of the best tier alone, HTTP included."""

    trained: Sequence[TrainedTier]
    asked: Pages
    load: Sequence[tuple[float, float]]
    service: float


class Benchmark:
    """One benchmark; `folder` is empty and its own."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        self._plan, self._folder, self._progress = plan, folder, progress

    async def run(self, *, quick: bool, command: str) -> Report:
        """Measure everything; raises ServerError, GeneratorError when the server fails."""
        steps = len(self._plan.deadlines) * (1 + len(PAGES)) * self._plan.rounds
        self._progress.begin(1 + len(PAGES) + steps)
        self._progress.step("decisions, and training the tiers")
        decisions = measure_decisions()
        trained, asked = train_tiers(self._folder / "models")
        rates = await self._saturations(trained, asked)
        best = rates[trained[0].name]
        load = scaled_load(best, self._plan.seconds)
        rows = await self._sweep(_Setting(trained, asked, load, 1.0 / best), self._deadlines(best))
        report = Report(
            machine(), versions(), command, datetime.now(UTC).isoformat(timespec="seconds"), quick, self._plan.rounds,
            self._plan.seconds, tuple((round(begin, 3), round(rate, 2)) for begin, rate in load),
            tuple(Tier(tier.name, round(tier.accuracy, 4), round(rates[tier.name], 1)) for tier in trained),
            decisions, rows,
        )  # fmt: skip
        return msgspec.structs.replace(report, checks=checks(report))

    async def _saturations(self, trained: Sequence[TrainedTier], asked: Pages) -> Mapping[str, float]:
        """Answers a second of each tier alone, in a closed loop of a few clients."""
        rates = {}
        async with self._server("saturation", trained, asked, (1000,)) as server:
            for tier in trained:
                self._progress.step(f"saturation of {tier.name}")
                target = asked.target(tenant_name(tier.name, 1000))
                seconds = self._plan.saturation_seconds
                rates[tier.name] = await saturation(
                    server, [target], concurrency=_CLIENTS, seconds=seconds, within=_CLIENTS_LEFT
                )
        return rates

    def _deadlines(self, rate: float) -> tuple[int, ...]:
        """Milliseconds, up to the next 10."""
        return tuple(-(-round(1e3 * share / rate) // 10) * 10 for share in self._plan.deadlines)

    async def _sweep(self, setting: _Setting, deadlines: Sequence[int]) -> tuple[Row, ...]:
        found: dict[tuple[str, int], list[Row]] = {}
        async with self._server("sweep", setting.trained, setting.asked, deadlines) as server:
            for seed in range(self._plan.rounds):
                for deadline in deadlines:
                    for contestant in contestants(setting.trained):
                        self._progress.step(f"{contestant}, {deadline} ms")
                        row = await self._play(server, contestant, deadline, setting, seed)
                        found.setdefault((contestant, deadline), []).append(row)
        return tuple(in_all(rows) for rows in found.values())

    async def _play(
        self, server: RunningServer, contestant: str, deadline_ms: int, setting: _Setting, seed: int
    ) -> Row:
        """One run."""
        tenant = tenant_name(contestant, deadline_ms)
        target = setting.asked.target(tenant)
        await server.settle(target, max(QUICK_SECONDS, _AT_REST * setting.service))
        before = await read_counters(server.url, tenant)
        ends = [begin for begin, _ in setting.load[1:]] + [self._plan.seconds]
        phases = [Phase(end - begin, rate) for (begin, rate), end in zip(setting.load, ends, strict=True)]
        schedule = poisson(phases, seed=seed)
        grace = _GRACE_DEADLINES * deadline_ms / 1e3
        async with LoadProcess([target], schedule, server.url, connections=_CONNECTIONS, grace=grace) as process:
            batch = concatenate([batch async for batch in process])
        sent = len(batch.records)
        counted = (await read_when_counted(server.url, tenant, before.requests + sent)).since(before)
        accuracies = {tier.name: tier.accuracy for tier in setting.trained}
        return _row(contestant, deadline_ms, batch, accuracies, counted)

    @contextlib.asynccontextmanager
    async def _server(
        self, name: str, trained: Sequence[TrainedTier], asked: Pages, deadlines_ms: Sequence[int]
    ) -> AsyncIterator[RunningServer]:
        """One `treadle serve` with a tenant for each contestant under each deadline, each checked to answer rightly."""
        models = write_manifests(self._folder / name, trained, deadlines_ms)
        port = free_ports()[0]
        command = (sys.executable, "-m", "treadle", "serve", "-f", str(self._folder / name), "--device", "host")
        deployment = Deployment((*command, "--port", str(port)), {}, port)
        async with running(name, deployment, self._folder / name) as server:
            await server.wait_until_ready(Workload(name, models, asked.inputs, 0.0))
            yield server


def scaled_load(best_rate: float, seconds: float) -> list[tuple[float, float]]:
    """The paper's load, scaled to this machine's best tier and to `seconds`."""
    scale, pace = best_rate / _SHAPE_SATURATION, seconds / _SHAPE_SECONDS
    return [(begin * pace, rate * scale) for begin, rate in _SHAPE]


def _row(
    contestant: str,
    deadline_ms: int,
    batch: Batch,
    accuracies: Mapping[str, float],
    counted: Counters,
) -> Row:
    deadlines = [deadline_ms / 1e3]
    found = score(batch.records, deadlines)
    good = outcomes(batch.records, deadlines).good
    tiers = np.asarray(batch.tiers)[batch.records["tier"][good]] if good.any() else np.array([], str)
    declared = sum(accuracies[tier] for tier in tiers.tolist()) / found.sent
    return Row(
        contestant=contestant,
        deadline_ms=float(deadline_ms),
        sent=found.sent,
        effective_accuracy=round(found.effective_accuracy, 4),
        declared_accuracy=round(declared, 4),
        scraped_accuracy=round(100.0 * counted.credit / max(counted.requests, 1), 4),
        counted_of_sent=round(counted.requests / found.sent, 6),
        violation_ratio=round(1.0 - found.good / found.sent, 5),
        shed_ratio=round(found.shed / found.sent, 5),
        p99_ms=round(1e3 * found.p99, 2) if math.isfinite(found.p99) else None,
        switches_per_request=round(counted.switches / found.sent, 5),
        share_by_tier={name: round(float(np.mean(tiers == name)), 4) for name in accuracies} if len(tiers) else {},
    )


def in_all(rows: Sequence[Row]) -> Row:
    """Each figure's median over rounds; what has to agree in every round is the worst round's, shares the first's."""
    apart = max(rows, key=lambda row: abs(row.scraped_accuracy - row.declared_accuracy))
    worst = {
        "counted_of_sent": max((row.counted_of_sent for row in rows), key=lambda share: abs(share - 1.0)),
        "scraped_accuracy": apart.scraped_accuracy,
        "declared_accuracy": apart.declared_accuracy,
    }
    figures = {
        name: statistics.median(values)
        for name in Row.__struct_fields__
        if name not in ("contestant", "deadline_ms", "share_by_tier", "p99_ms", *worst)
        for values in [[getattr(row, name) for row in rows]]
    }
    p99 = [row.p99_ms for row in rows if row.p99_ms is not None]
    return msgspec.structs.replace(rows[0], **figures, **worst, p99_ms=statistics.median(p99) if p99 else None)
