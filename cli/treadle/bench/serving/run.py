"""The serving benchmark, step by step."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import onnx

from treadle.bench.analysis import median
from treadle.bench.machine import machine, versions
from treadle.bench.peers.mlserver_environment import EnvironmentMissingError, mlserver_python
from treadle.bench.progress import Progress
from treadle.bench.serving.checks import checks
from treadle.bench.serving.deployment import BOUNDED, BY_MODE, MLSERVER, PLAIN, deploy
from treadle.bench.serving.measure import OpenRun, open_run, saturation
from treadle.bench.serving.merging import executor_throughput
from treadle.bench.serving.report import LeftOut, Memory, Report, Row, Saturation
from treadle.bench.serving.server import RunningServer, ServerError, free_ports, running
from treadle.bench.serving.suites import MERGING, PLAIN_THREADED, MemorySuite, Plan, Suite
from treadle.bench.serving.workload import Workload, small_mlps
from treadle.load.limit import measure_limit
from treadle.wheels import WheelUnavailableError
from treadle_agent.executor.protocol import Mode

_MEGABYTE = 1e6
_MERGING_ROUNDS = 3
_QUEUE_SHARE = 0.1  # of the deadline may pass in a bounded queue: tuned, as requests also wait in sockets, unseen by it


class Benchmark:
    """One benchmark; `folder` is empty and its own."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        self._plan, self._folder, self._progress = plan, folder, progress
        self._mlserver: Path | None = None
        self._saturation: list[Saturation] = []
        self._rows: list[Row] = []
        self._memory: list[Memory] = []
        self._left_out: list[LeftOut] = []
        self._started = 0

    async def run(self, *, quick: bool, command: str) -> Report:
        """Measure everything; what fails is left out and named."""
        self._progress.begin(_steps(self._plan))
        self._progress.step("the load generator alone")
        limit = await measure_limit(self._plan.seconds)
        if any(MLSERVER in suite.servers for suite in self._plan.suites):
            self._progress.step("MLServer's environment")
            try:
                self._mlserver = await mlserver_python()
            except EnvironmentMissingError as error:
                self._left_out.append(LeftOut("all", MLSERVER, str(error)))
        for suite in self._plan.suites:
            await self._suite(suite)
        if self._plan.merging:
            await self._merging()
        for memory in self._plan.memory:
            await self._memory_suite(memory)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        report = Report(
            machine(), versions(), command, date, quick, self._plan.seconds, self._plan.rounds, limit,
            tuple(self._saturation), tuple(self._rows), tuple(self._memory), tuple(self._left_out),
        )  # fmt: skip
        return msgspec.structs.replace(report, checks=checks(report))

    async def _suite(self, suite: Suite) -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                workload = suite.make(self._folder / suite.name)
            except WheelUnavailableError as error:
                self._left_out.append(LeftOut(suite.name, "all", str(error)))
                return
            servers: dict[str, RunningServer] = {}
            for name in suite.servers:
                if not name.endswith(BOUNDED):
                    await self._start(stack, servers, suite.name, name, workload)
            rates = await self._saturate(suite, workload, servers)
            _keep_better(servers, rates)
            for name in suite.servers:
                peer = name.removesuffix(BOUNDED)
                if name != peer and peer in servers:
                    limit = max(1, round(_QUEUE_SHARE * workload.deadline * rates[peer]))
                    await self._start(stack, servers, suite.name, name, workload, limit)
                    rates[name] = rates[peer]
            await self._sweep(suite, workload, servers, rates)

    async def _saturate(self, suite: Suite, workload: Workload, servers: dict[str, RunningServer]) -> dict[str, float]:
        targets = workload.targets(binary=suite.binary)
        runs: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(self._plan.rounds):
            for name, server in list(servers.items()):
                self._progress.step(f"{suite.name}: saturation of {name}")
                with self._leaving_out(suite.name, name, servers):
                    rps = await saturation(server, targets, concurrency=suite.concurrency, seconds=self._plan.seconds)
                    runs[name].append(rps)
        rates = {name: statistics.median(runs[name]) for name in servers}
        self._saturation += [Saturation(suite.name, name, rates[name], tuple(runs[name])) for name in servers]
        return rates

    async def _sweep(
        self, suite: Suite, workload: Workload, servers: dict[str, RunningServer], rates: dict[str, float]
    ) -> None:
        targets = workload.targets(binary=suite.binary)
        for load in suite.loads:
            runs: dict[str, list[OpenRun]] = {name: [] for name in servers}
            for seed in range(self._plan.rounds):
                for name, server in list(servers.items()):
                    self._progress.step(f"{suite.name}: {name} at {load:g}×")
                    with self._leaving_out(suite.name, name, servers):
                        run = await open_run(
                            server, targets, rate=load * rates[name], seconds=self._plan.seconds,
                            deadline=workload.deadline, seed=seed,
                        )  # fmt: skip
                        runs[name].append(run)
            self._rows += [_row(suite.name, name, load, runs[name]) for name in servers]

    async def _merging(self) -> None:
        """The modes against each other in an executor without a front end, in turns."""
        workload = small_mlps(self._folder / MERGING, 8)
        runs: dict[Mode, list[tuple[float, float]]] = {mode: [] for mode in Mode}
        for _ in range(_MERGING_ROUNDS):
            for mode, seen in runs.items():
                self._progress.step(f"{MERGING}: {BY_MODE[mode]}")
                seen.append(await executor_throughput(workload, mode, self._folder / "artifacts", 1.0))
        for mode, seen in runs.items():
            rates = tuple(rate for rate, _ in seen)
            factor = statistics.median(factor for _, factor in seen)
            self._saturation.append(Saturation(MERGING, BY_MODE[mode], statistics.median(rates), rates, factor))

    async def _memory_suite(self, suite: MemorySuite) -> None:
        for name in suite.servers:
            sizes = []
            for tenants in (1, suite.tenants):
                self._progress.step(f"memory: {name} with {tenants} {suite.name}")
                workload = suite.make(self._folder / f"memory-{suite.name}", tenants)
                async with contextlib.AsyncExitStack() as stack:
                    servers: dict[str, RunningServer] = {}
                    await self._start(stack, servers, f"memory-{suite.name}", name, workload)
                    with self._leaving_out(f"memory-{suite.name}", name, servers):
                        if name in servers:
                            await saturation(
                                servers[name], workload.targets(binary=True), concurrency=4, seconds=self._plan.seconds
                            )
                            sizes.append(servers[name].usage())
            if len(sizes) == 2:
                weights = sum(_weight_bytes(path) for path in list(workload.models.values())[1:])
                one, all_ = sizes
                figures = (weights, one.rss, all_.rss, one.pss, all_.pss)
                self._memory.append(
                    Memory(suite.name, name, suite.tenants, *(round(figure / _MEGABYTE, 1) for figure in figures))
                )

    async def _start(
        self,
        stack: contextlib.AsyncExitStack,
        servers: dict[str, RunningServer],
        suite: str,
        name: str,
        workload: Workload,
        queue_limit: int = 0,
    ) -> None:
        if name.startswith(MLSERVER) and self._mlserver is None:
            return  # said once
        folder = self._folder / f"server-{self._started}"
        self._started += 1
        folder.mkdir()
        deployment = deploy(name, workload, folder, free_ports(), self._mlserver, queue_limit)
        server = await stack.enter_async_context(running(name, deployment, folder))
        servers[name] = server
        with self._leaving_out(suite, name, servers):
            await server.wait_until_ready(workload)

    @contextlib.contextmanager
    def _leaving_out(self, suite: str, name: str, servers: dict[str, RunningServer]) -> Iterator[None]:
        """A server that fails takes no further part in its suite, and the report says why."""
        try:
            yield
        except (ServerError, OSError) as error:
            servers.pop(name, None)
            self._left_out.append(LeftOut(suite, name, str(error)))
            self._progress.warn(f"{suite}: {name} left out: {error}")


def _keep_better(servers: dict[str, RunningServer], rates: dict[str, float]) -> None:
    """Of peer (a) inline and with threads, the faster one stands for (a)."""
    if PLAIN in servers and PLAIN_THREADED in servers:
        threaded = servers.pop(PLAIN_THREADED)
        if rates[PLAIN_THREADED] > rates[PLAIN]:
            servers[PLAIN], rates[PLAIN] = threaded, rates[PLAIN_THREADED]


def _row(suite: str, server: str, load: float, runs: Sequence[OpenRun]) -> Row:
    summary = median([run.summary for run in runs])
    merged = statistics.median(run.merge_factor for run in runs)
    return Row(
        suite, server, load,
        offered_rps=round(summary.offered_rps, 1),
        goodput_rps=round(summary.goodput_rps, 1),
        answered_rps=round(summary.answered_rps, 1),
        p50_ms=_finite(summary.p50_ms),
        p99_ms=_finite(summary.p99_ms),
        cpu_ms_per_request=round(statistics.median(run.cpu_seconds for run in runs) * 1e3, 4),
        merge_factor=round(merged, 2) or None,
        late=summary.late, refused=summary.refused, failed=summary.failed, unanswered=summary.unanswered,
        generator_load=round(statistics.median(run.generator_load for run in runs), 2),
    )  # fmt: skip


def _finite(milliseconds: float) -> float | None:
    return round(milliseconds, 3) if math.isfinite(milliseconds) else None


def _weight_bytes(path: Path) -> int:
    return sum(onnx.numpy_helper.to_array(one).nbytes for one in onnx.load(path).graph.initializer)


def _steps(plan: Plan) -> int:
    runs = sum(
        plan.rounds
        * (sum(not name.endswith(BOUNDED) for name in suite.servers) + len(suite.servers) * len(suite.loads))
        for suite in plan.suites
    )
    runs += _MERGING_ROUNDS * len(BY_MODE) if plan.merging else 0
    return 2 + runs + sum(2 * len(memory.servers) for memory in plan.memory)
