"""Keeps an executor process alive and every accepted request answered: the `gateway.Gateway` of the front end.

Everything a request needs stays on this side until it is answered: its inputs in the shared memory, its terms here. So
when the executor dies, the next one is given the same versions, the same bindings and the same requests
(`replay` decides which, and what to do about the one that killed it).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from treadle_agent.executor.binder import Binder
from treadle_agent.executor.bindings import Shapes
from treadle_agent.executor.executor_process import ExecutorProcess, WorkerMain
from treadle_agent.executor.flight_record import Activity, Flight
from treadle_agent.executor.gateway import Call, GoneError, RefusedError, Served
from treadle_agent.executor.post_mortem import examine
from treadle_agent.executor.protocol import (
    Done,
    Loaded,
    Outcome,
    Refused,
    Report,
    Statistics,
    ToExecutor,
    ToFrontEnd,
    Trace,
    Unloaded,
    Version,
)
from treadle_agent.executor.replay import ReplayPolicy
from treadle_agent.executor.requests import Requests
from treadle_agent.executor.resident import PendingCall, Resident, Stage
from treadle_agent.executor.roster import Roster
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.tiers import CompileBinding, only_shapes, read_common
from treadle_agent.executor.watchdog import Hang, find_hang
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_api.replica import LoadedReason

TICK = 0.05  # seconds between looks at deadlines and at the flight record
PING_AFTER = 1.0  # seconds of silence, with requests waiting, before the executor is asked for a sign of life
STATISTICS_TIMEOUT = 5.0  # seconds; a restart fits in
TRACE_TIMEOUT = 25.0  # seconds; a load, which a timeline waits for to be written, fits in

_log = logging.getLogger(__name__)


class Supervisor:
    """One executor process and its successors. Made by `start`, on a running event loop that all methods belong to."""

    def __init__(
        self,
        main: WorkerMain,
        worker_settings: WorkerSettings,
        compile_binding: CompileBinding,
        settings: SupervisorSettings,
    ) -> None:
        self._main = main
        self._worker_settings = worker_settings
        self._settings = settings
        self._memory = SharedMemory.create(settings.memory_bytes)
        self._requests = Requests(self._memory, self._post, self._settle, settings.grace)
        self._roster = Roster(self._post, self._requests.on_up, self._on_isolated)
        self._policy = ReplayPolicy(settings.slowest_backoff)
        self._binder = Binder(compile_binding, settings, self._resident, self._post)
        self._reports: dict[int, asyncio.Future[bytes]] = {}
        self._last_report = 0
        self._process: ExecutorProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._ticked = 0.0
        self._closing = asyncio.Event()
        self._heard = 0.0  # when a message last came
        self._pinged: float | None = None  # since when a sign of life is owed
        self._hang: Hang | None = None  # why we killed the process
        self._served = False  # whether this process answered a request, or loaded a new version
        self._restarts = 0
        self._replays = 0
        self._died = 0.0  # when the last process did, until its successor spoke
        self._outage = 0.0

    @classmethod
    async def start(
        cls,
        main: WorkerMain,
        worker_settings: WorkerSettings,
        compile_binding: CompileBinding,
        settings: SupervisorSettings | None = None,
    ) -> Self:
        """Start an executor process that runs `main`, a function of an importable module.

        Raises:
            OSError, EOFError: no process can be started.
        """
        supervisor = cls(main, worker_settings, compile_binding, settings or SupervisorSettings())
        try:
            process = await supervisor._start_process()
        except BaseException:
            supervisor._memory.close()
            raise
        supervisor._keeper = asyncio.get_running_loop().create_task(supervisor._keep(process))
        supervisor._tick()
        return supervisor

    async def load(self, version: Version) -> Served:
        """Load a version beside those already served; raises RefusedError."""
        common = await asyncio.to_thread(read_common, version)
        if self._closing.is_set():
            raise RefusedError("the executor is shutting down")
        resident = Resident(version, batchable=common.batchable, bindings=self._settings.bindings)
        self._roster.add(resident)
        try:
            loaded = await resident.loaded
            served = resident.served = Served(
                version,
                common.inputs,
                common.outputs,
                common.batchable,
                loaded.implementations,
                loaded.service,
                loaded.batches,
            )
            only = only_shapes(served)
            if only is not None:
                await self._binder.add(
                    resident, served, only, contextlib.nullcontext()
                )  # compiled already: no wait for others
        except GoneError as error:
            raise RefusedError(str(error)) from error
        except BaseException:
            self._roster.retire(resident)
            raise
        self._served = True
        return served

    async def retire(self, version: int) -> None:
        """Serve what was accepted for a version, then unload it; at once where it is not loaded."""
        resident = self._roster.get(version)
        if resident is not None:
            self._roster.retire(resident)
            await asyncio.shield(resident.gone)

    async def bind(self, served: Served, shapes: Shapes) -> None:
        """Make input shapes (rows aside) known: see `binder.Binder`."""
        await self._binder.bind(served, shapes)

    def bound(self, served: Served, shapes: Shapes) -> bool:
        """Whether `open` may be called with these shapes."""
        resident = self._roster.get(served.version.id)
        if resident is None:
            return False
        try:
            resident.bindings.plan(shapes)
        except KeyError:
            return False
        return True

    def open(self, served: Served, shapes: Shapes) -> Call:
        """Reserve a block; raises FullError, GoneError, KeyError when not `bound`."""
        return self._requests.open(self._resident(served), shapes)

    def fault(self, served: Served) -> str:
        """Why a version is not run any more, though it was loaded; "" while it is."""
        resident = self._roster.get(served.version.id)
        return resident.reason if resident is not None and resident.stage is Stage.ISOLATED else ""

    def under_way(self, served: Served) -> int:
        """Requests that were opened for a version and have not ended."""
        resident = self._roster.get(served.version.id)
        return resident.calls if resident is not None else 0

    def answer(
        self, call: Call, deadline: float, priority: int = 0, tier: int = -1, forbidden: int = 0
    ) -> Coroutine[Any, Any, Done]:
        """Run the request: see `gateway.Gateway`. Raises ValueError for a call that was answered or released before."""
        assert isinstance(call, PendingCall), "calls come from open()"
        return self._requests.answer(call, deadline, priority, tier, forbidden)

    async def statistics(self) -> Mapping[str, Any]:
        """The executor's document (`executor.statistics`), and under `supervisor` this side's counters.

        The executor's part is missing when it does not answer in seconds.
        """
        document: dict[str, Any] = {}
        try:
            document = msgspec.json.decode(await self._ask(Report, STATISTICS_TIMEOUT))
        except TimeoutError:
            _log.warning("the executor does not answer: statistics without its part")
        document["supervisor"] = {
            "restarts": self._restarts,
            "replays": self._replays,
            "outage_seconds": self._outage,  # the last one's: from a death to the next process's first message
            "isolated": {str(one.version.id): one.reason for one in self._roster if one.stage is Stage.ISOLATED},
            "pending": len(self._requests),
            "blocks": len(self._requests.blocks),
            "block_bytes": self._requests.blocks.in_use,
        }
        return document

    def trace(self, path: Path) -> None:
        """Record launches from now on, for the timeline that `end_trace` writes to `path`; lost with the process."""
        self._post(Trace(str(path)))

    async def end_trace(self) -> None:
        """End the recording; the file is there afterwards, unless the process ended or the disk is full."""
        with contextlib.suppress(TimeoutError):
            await self._ask(partial(Trace, ""), TRACE_TIMEOUT)

    async def close(self) -> None:
        """Stop the process; calls under way are shed. Nothing of it is left afterwards."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._ticker is not None:
            self._ticker.cancel()
        self._requests.shed_all()
        if self._process is not None:
            self._process.hang_up()
        if self._keeper is not None:
            await self._keeper
        self._requests.end_all()
        self._roster.forget_all()
        self._memory.close()

    async def _ask(self, message: Callable[[int], ToExecutor], timeout: float) -> bytes:
        """What is sent for a message with a sequence number, by the next process if this one ends.

        Raises:
            TimeoutError: nothing came.
        """
        self._last_report += 1
        sequence = self._last_report
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reports[sequence] = future
        self._post(message(sequence))
        try:
            async with asyncio.timeout(timeout):
                return await future
        finally:
            del self._reports[sequence]

    # The process

    async def _start_process(self) -> ExecutorProcess:
        process = await ExecutorProcess.start(self._main, self._memory, self._worker_settings, self._on_messages)
        self._process = process
        self._hang = None
        self._served = False
        self._heard = self._pinged = time.monotonic()
        for sequence in (0, *self._reports):  # 0: a sign of life
            self._post(Report(sequence))
        self._roster.resume()
        return process

    async def _keep(self, process: ExecutorProcess | None) -> None:
        """Settle what each process leaves and start the next one, until closed."""
        while process is not None:
            code = await process.wait()
            self._process = None
            if self._closing.is_set():
                return
            process = await self._restart(self._bury(code))

    async def _restart(self, delay: float) -> ExecutorProcess | None:
        """A new process, or None when closing; `delay` in seconds."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            if self._closing.is_set():
                return None
            try:
                process = await self._start_process()
            except Exception:  # noqa: BLE001 - it may pass, and without this loop no request would be answered again
                _log.exception("the executor process cannot be started")
                delay = min(max(2.0 * delay, 0.1), self._settings.slowest_backoff)
                continue
            self._restarts += 1
            if self._closing.is_set():
                process.hang_up()
            return process

    def _bury(self, code: int) -> float:
        """Settle what the dead process leaves; the seconds to wait before the next one."""
        self._died = time.monotonic()
        loading = self._roster.loading
        crash = examine(
            code,
            self._hang,
            self._memory.record.flights(),
            loading=loading.version.id if loading is not None else None,
            served=self._served,
        )
        decision = self._policy.decide(crash, self._requests.unanswered(), self._died)
        again = len(decision.resubmit) + len(decision.solo)
        self._replays += again
        _log.error(
            "the executor process ended (%s): %d requests run again, %d of them alone",
            crash.reason,
            again,
            len(decision.solo),
        )
        self._memory.record.clear()
        self._roster.stop()
        self._requests.carry_out(decision)
        for version, reason in decision.isolate.items():
            resident = self._roster.get(version)
            if resident is not None:
                self._roster.isolate(resident, RefusedError(reason, LoadedReason.EXECUTOR_FAILED))
        return decision.delay

    def _post(self, message: ToExecutor) -> None:
        if self._process is not None:
            self._process.channel.post(message)

    def _on_messages(self, messages: list[ToFrontEnd]) -> None:
        self._heard = time.monotonic()
        self._pinged = None
        for message in messages:
            match message:
                case Done():
                    if message.outcome == Outcome.DONE:
                        self._served = True
                    self._requests.on_done(message)
                case Loaded():
                    self._policy.loaded(message.version)
                    self._roster.on_loaded(message)
                case Refused():
                    self._roster.on_refused(message)
                case Unloaded():
                    self._roster.on_unloaded(message)
                case Statistics():
                    self._on_statistics(message)

    def _on_statistics(self, message: Statistics) -> None:
        if self._died:
            self._outage, self._died = self._heard - self._died, 0.0
        future = self._reports.get(message.sequence)
        if future is not None and not future.done():
            future.set_result(message.document)

    def _on_isolated(self, resident: Resident) -> None:
        _log.error("tenant %s, version %d: isolated: %s", resident.version.tenant, resident.version.id, resident.reason)
        self._requests.on_isolated(resident)

    def _settle(self, resident: Resident) -> None:
        self._roster.settle(resident)

    def _resident(self, served: Served) -> Resident:
        resident = self._roster.get(served.version.id)
        if resident is None or resident.retiring or self._closing.is_set():
            raise GoneError(f"version {served.version.id} of {served.version.tenant} is no longer served")
        return resident

    # Time

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)
        now = time.monotonic()
        self._requests.shed_overdue(now)
        if self._pinged is not None and now - self._ticked > PING_AFTER:
            self._pinged = now  # this loop was busy: the sign of life may lie unread in the socket
        self._ticked = now
        if self._process is not None and self._hang is None:
            self._watch(self._process, now)

    def _watch(self, process: ExecutorProcess, now: float) -> None:
        if self._pinged is None and len(self._requests) and now - self._heard > PING_AFTER:
            self._pinged = now
            process.channel.post(Report(0))
        flights = self._memory.record.flights()
        loading = self._roster.loading
        if loading is not None:
            since, expected = self._roster.loading_since, self._settings.load_expected
            flights.append(Flight(-1, 0, Activity.LOAD, (loading.version.id,), since, expected, complete=True))
        self._hang = find_hang(self._settings, flights, now, self._pinged)
        if self._hang is not None:
            _log.error("the executor process hangs and is killed: %s", self._hang.reason)
            process.kill()
