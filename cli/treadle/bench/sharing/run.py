"""The comparison, step by step: what fails is left out and named."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from treadle.bench.machine import gpu_facts, machine, versions
from treadle.bench.progress import Progress
from treadle.bench.serving import workload
from treadle.bench.serving.report import LeftOut
from treadle.bench.serving.workload import Workload
from treadle.bench.sharing import mps
from treadle.bench.sharing.measure import WrongAnswerError, run
from treadle.bench.sharing.report import Report, Row
from treadle.bench.sharing.ways import WAYS, Way, seated
from treadle_agent.executor import worker
from treadle_agent.executor.executor_process import WorkerMain
from treadle_agent.executor.gateway import FullError, GoneError, RefusedError
from treadle_agent.program.errors import ModelError

_NOTE = (
    "Executors without HTTP, on the same kernels whichever way they share the GPU; every tenant keeps requests under "
    "way all the time, and one answer of each was held against ONNX Runtime's. One process asks for all of them, which "
    "bounds what can be seen."
)


FAILURES = (  # of a way, which is left out then: it cannot be started, or gives no figures
    RefusedError, FullError, GoneError, ModelError, WrongAnswerError, mps.MpsError, OSError, EOFError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suite:
    """A kind of model, made for a number of tenants."""

    name: str
    make: Callable[[Path, int], Workload]
    tenants: Sequence[int]


SUITES = (Suite("small", workload.small_mlps, (1, 4, 16)), Suite("mlp", workload.mlps, (1, 4, 16)))
QUICK = (Suite("small", workload.small_mlps, (4,)),)


class Comparison:
    """One comparison on `device`; `folder` is empty and its own; `main`: what executor processes run."""

    def __init__(self, device: str, folder: Path, progress: Progress, main: WorkerMain = worker.main) -> None:
        self._device, self._folder, self._progress, self._main = device, folder, progress, main
        self._left_out: list[LeftOut] = []

    async def run(self, suites: Sequence[Suite], seconds: float, rounds: int, command: str) -> Report:
        """Measure all ways in turns."""
        self._progress.begin(sum(len(suite.tenants) for suite in suites) * len(WAYS) * rounds)
        rows: list[Row] = []
        with mps.private_pipes(self._folder):
            for suite in suites:
                for tenants in suite.tenants:
                    made = suite.make(self._folder / suite.name, tenants)
                    rows += await self._ways(suite.name, made, seconds, rounds)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        gpu = gpu_facts() if self._device == "cuda" else None
        return Report(
            self._device, gpu, _NOTE, command, date, machine(), versions(), seconds, rounds, tuple(rows),
            tuple(self._left_out), gpu_code_ran=self._device == "cuda" and self._main is worker.main and bool(rows),
        )  # fmt: skip

    async def _ways(self, suite: str, made: Workload, seconds: float, rounds: int) -> list[Row]:
        found: dict[str, list[Row]] = {way.name: [] for way in WAYS}
        failed: set[str] = set()
        for _ in range(rounds):
            for way in WAYS:
                self._progress.step(f"{suite}: {len(made.models)} tenants by {way.name}")
                if way.name in failed:
                    continue
                try:
                    found[way.name].append(await self._measured(suite, way, made, seconds))
                except FAILURES as error:
                    failed.add(way.name)
                    self._left_out.append(LeftOut(f"{suite}, {len(made.models)} tenants", way.name, str(error)))
                    self._progress.warn(f"{suite}: {way.name} left out: {error}")
        return [_median(runs) for name, runs in found.items() if name not in failed]

    async def _measured(self, suite: str, way: Way, made: Workload, seconds: float) -> Row:
        with ExitStack() as stack:
            if way.mps:
                stack.enter_context(mps.daemon())
            async with seated(way, made, self._device, self._folder / "artifacts", self._main) as seats:
                if way.mps:
                    await asyncio.to_thread(mps.check_used)
                return (await run(seats, made, seconds)).row(suite, way.name)


def _median(runs: Sequence[Row]) -> Row:
    def of(name: str) -> float:
        return float(statistics.median(getattr(row, name) for row in runs))

    first = runs[0]
    return Row(
        first.suite, first.tenants, first.way, of("rps"), of("p50_ms"), of("p99_ms"), of("spread"), of("merge_factor")
    )
