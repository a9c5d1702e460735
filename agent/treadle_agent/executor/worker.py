"""The executor process: receive, shed, step, launch, answer — until the front end goes away.

One dispatch thread owns the queues, the scheduler and the device; one loading thread prepares models, so that a load
never stops the others' launches.
"""

from __future__ import annotations

import gc
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.channel import ExecutorChannel, PeerGoneError
from treadle_agent.executor.flight_record import Activity, FlightRecord
from treadle_agent.executor.host import Launched
from treadle_agent.executor.isolation import Isolation
from treadle_agent.executor.kept_tuner import KeptTuner
from treadle_agent.executor.library import Library
from treadle_agent.executor.loading import LoadingThread
from treadle_agent.executor.opening import open_device
from treadle_agent.executor.protocol import (
    Bind,
    Cancel,
    Done,
    Load,
    Mode,
    Outcome,
    Report,
    Statistics,
    Submit,
    ToExecutor,
    Trace,
    Unbind,
    Unload,
)
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.executor.super_kernel import ignore_warnings
from treadle_agent.executor.trace import Recorder
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.executor.versions import LoadedVersion, requests_of, version_of
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.comparators import Exclusive, Spatial, TimeSliced
from treadle_agent.policy.queues import Request
from treadle_agent.policy.scheduling import Group, Launch, Scheduler, SpaceTime

UNRUNNABLE_WAIT = 0.02  # seconds between looks at requests that wait for a program, or for their deadline
RECORD_SLOTS = 15  # of the flight record, a thread each; the last one is the loading thread's


@dataclass(frozen=True, slots=True)
class Failure:
    """What a launch raised, and after how many seconds."""

    error: Exception
    seconds: float


class Worker:
    """The dispatch thread of one device."""

    def __init__(
        self, channel: ExecutorChannel, memory: memoryview, record: FlightRecord, settings: WorkerSettings
    ) -> None:
        self.channel = channel
        self.record = record
        self.device, tuner = open_device(settings.device, memory)
        self.scheduler = scheduler(settings)
        self.isolation = Isolation(self.scheduler)
        self.document = Document(settings.device, settings.mode.name.lower().replace("_", "-"), plans=tuner.plans)
        if settings.tuning and tuner.identity:
            cache = TuningCache(Path(settings.tuning), tuner.identity)
            self.document.tuning = cache.lookups
            tuner = KeptTuner(tuner, cache)
        self.library = Library(tuner, max_problems=settings.max_problems)
        self.loading = LoadingThread(self.library, record, channel.wake)
        self.versions: dict[int, LoadedVersion] = {}
        self.recorder: Recorder | None = None
        self._solo: deque[Submit] = deque()
        self._solo_at = 0.0  # what runs alone takes turns with all the others: not before this time, unless they rest
        self._alone: Group | None = None  # what runs alone now, or did so last
        self._pool = (
            ThreadPoolExecutor(RECORD_SLOTS, initializer=ignore_warnings) if settings.mode is Mode.SPACE else None
        )
        self._threads = list(range(RECORD_SLOTS))  # free slots of the flight record
        self._finished: deque[tuple[Launch, int, Launched | Failure]] = deque()
        self._leaving: deque[tuple[Group, Callable[[], None]]] = deque()  # finished; their outputs are on their way

    def run(self) -> None:
        """Serve until the front end closes the channel."""
        try:
            while True:
                self.turn()
        except PeerGoneError:
            return

    def turn(self) -> None:
        """Take what arrived, shed what is too late, launch what comes next, answer what is finished."""
        for message in self.channel.receive():
            self.handle(message)
        for answer in self.loading.collect():
            self.channel.post(answer)
        while self._finished:
            launch, thread, result = self._finished.popleft()
            self._threads.append(thread)
            self._launched(launch, result, thread)
        now = time.monotonic()
        for _, doomed in self.scheduler.shed(now):
            self._answer(doomed, Outcome.SHED, reason="the deadline cannot be met any more")
        launch_now = self._next(now)
        if launch_now is not None:
            self._launch(launch_now, now)
            self.scheduler.settle()
        else:
            self._answer_leaving()
        self._finish_unloads()
        self.channel.flush()
        if launch_now is None:
            self.channel.wait(self._pause())

    def handle(self, message: ToExecutor) -> None:
        """Carry out one message."""
        match message:
            case Submit():
                self._submit(message)
            case Load(version):
                self.loading.load(version, self._install)
            case Bind():
                self._bind(message)
            case Unbind(version, binding):
                self._unbind(self.versions[version], binding)
            case Unload(version):
                self.versions[version].draining = True
            case Cancel(version, request):
                self._cancel(self.versions.get(version), request)
            case Report(sequence):
                self._send_report(sequence)
            case Trace(path, sequence):
                self._record(path, partial(self._send_report, sequence))

    def _submit(self, request: Submit) -> None:
        version = self.versions.get(request.version)
        if version is None:
            self._answer(request, Outcome.ERROR, reason="the tenant's version is not loaded")
        elif request.binding in version.refused:
            self._answer(request, Outcome.ERROR, reason=version.refused[request.binding])
        elif request.solo:
            self._solo.append(request)
        elif not self.scheduler.submit(version, request):
            self._answer(request, Outcome.OVERLOADED, reason=f"{version.queue_limit} requests wait already")

    def _cancel(self, version: LoadedVersion | None, request: int) -> None:
        """One that runs, alone or not, is answered as usual: a crash's culprit is to be found."""
        if version is not None and self.scheduler.cancel(version, request) is not None:
            self._answer_id(request, Outcome.SHED, reason="cancelled")

    def _record(self, path: str, saved: Callable[[], None]) -> None:
        ended, self.recorder = self.recorder, Recorder(Path(path), self.document.device) if path else None
        if ended is None:
            saved()
        else:
            self.loading.save(ended, saved)

    def _send_report(self, sequence: int) -> None:
        self.channel.post(Statistics(sequence, msgspec.json.encode(self._report())))

    def _install(self, version: LoadedVersion) -> None:
        self.versions[version.id] = version
        self.scheduler.add(version)
        self.document.tenants[version.id] = TenantStatistics(version.version.tenant)

    def _bind(self, message: Bind) -> None:
        version = self.versions[message.version]
        version.bindings[message.binding] = Binding(
            message.inputs, message.outputs, batchable=version.loaded_tiers[0].artifact.batchable
        )
        known = [tier.holders.get(message.inputs) for tier in version.loaded_tiers]
        for tier, holder in zip(version.loaded_tiers, known, strict=True):
            if holder:
                tier.buckets[message.binding] = holder
        self.loading.bind(
            version, message.binding, message.inputs, partial(self._refuse_binding, version, message.binding)
        )

    def _refuse_binding(self, version: LoadedVersion, binding: int, reason: str) -> None:
        if binding not in version.bindings:  # unbound meanwhile
            return
        version.refused[binding] = f"these input shapes cannot be run here: {reason}"
        waiting = [one.request for one in version if one.binding == binding]
        alone = [one for one in self._solo if (one.version, one.binding) == (version.id, binding)]
        for number in waiting:
            self.scheduler.cancel(version, number)
        for one in alone:
            self._solo.remove(one)
        for number in (*waiting, *(one.request for one in alone)):
            self._answer_id(number, Outcome.ERROR, version.refused[binding])

    def _unbind(self, version: LoadedVersion, binding: int) -> None:
        types = version.bindings.pop(binding).inputs
        version.refused.pop(binding, None)
        for tier in version.tiers:
            tier.buckets.pop(binding, None)
        if all(other.inputs != types for other in version.bindings.values()):
            self.loading.unbind(version, types)
        self.isolation.prune()

    def _finish_unloads(self) -> None:
        for version in [one for one in self.versions.values() if one.draining]:
            waits_solo = any(request.version == version.id for request in self._solo)
            leaving = any(version_of(stream) is version for group, _ in self._leaving for stream in group.streams)
            if len(version) == 0 and not (waits_solo or leaving or self.scheduler.on_device(version)):
                self.scheduler.remove(version)
                self.isolation.forget(version.id)
                del self.versions[version.id], self.document.tenants[version.id]
                self.loading.unload(version)

    def _next(self, now: float) -> Launch | None:
        groups = self.scheduler.groups
        due = bool(self._solo) and (now >= self._solo_at or self.scheduler.idle)
        self.scheduler.holding = due or any(group is self._alone for group in groups)
        if not due or groups:
            return self.scheduler.step(now) if self._threads else None
        request = self._solo.popleft()
        launch = self.scheduler.solo(self.versions[request.version], request, now)
        if launch is None:
            if request.deadline < now:
                self._answer(request, Outcome.SHED, reason="the deadline cannot be met any more")
            else:
                self._solo.append(request)
            self.scheduler.holding = False
            return self.scheduler.step(now) if self._threads else None  # its program comes: the others go on
        self._alone = launch.group
        return launch

    def _pause(self) -> float | None:
        """Seconds until the next look, if nothing arrives before; None: for ever."""
        if self.scheduler.idle and not self._solo:
            return None
        return min(UNRUNNABLE_WAIT, self.scheduler.wake_at - time.monotonic())

    def _launch(self, launch: Launch, now: float) -> None:
        group, thread = launch.group, self._threads.pop()
        names = [request.request for stream in group.streams for request in requests_of(stream)]
        expected = group.executable.cost.expected(len(group.streams))
        self.record.begin(thread, Activity.LAUNCH, names, now, expected)
        result: Launched | Failure
        try:
            if group.place is None:
                group.started = now
                self.device.stage(group)
        except Exception as error:  # noqa: BLE001 - a tenant's model may raise anything
            result = Failure(error, time.monotonic() - now)
        else:
            if self._pool is not None:
                self._pool.submit(self._run_apart, launch, thread)
                self._answer_leaving()
                return
            result = self._run(launch, self._answer_leaving)
        self.record.end(thread)
        self._threads.append(thread)
        self._launched(launch, result, thread)

    def _run(self, launch: Launch, meanwhile: Callable[[], None] | None = None) -> Launched | Failure:
        begun = time.monotonic()
        try:
            result = self.device.run(launch.group, launch.begin, launch.end)
        except Exception as error:  # noqa: BLE001 - as above
            return Failure(error, time.monotonic() - begun)
        if not callable(result):
            return result
        if meanwhile is not None:
            meanwhile()
        try:
            return result()
        except Exception as error:  # noqa: BLE001 - as above
            return Failure(error, time.monotonic() - begun)

    def _run_apart(self, launch: Launch, thread: int) -> None:
        result = self._run(launch)
        self.record.end(thread)
        self._finished.append((launch, thread, result))
        self.channel.wake()

    def _launched(self, launch: Launch, result: Launched | Failure, thread: int) -> None:
        group = launch.group
        if isinstance(result, Failure):
            self.scheduler.failed(group, result.seconds)
            self._left(group)
            self._failed(group, result.error)
            return
        self.document.launched(result, len(group.streams))
        if self.recorder is not None:
            tenants = [version_of(stream).version.tenant for stream in group.streams]
            self.recorder.launches(result, time.monotonic(), RECORD_SLOTS - 1 - thread, tenants)
        seconds = sum(seconds for _, seconds, _ in result)
        self.isolation.launched(launch, seconds)
        if not self.scheduler.launched(launch, seconds):
            return
        self._left(group)
        self._collect(group, partial(self.device.collect, group))

    def _answer_leaving(self) -> None:
        """Answer those whose outputs were still on their way, once the next launch is on its way or there is none."""
        if self._leaving:
            while self._leaving:
                self._collect(*self._leaving.popleft())
            self.channel.flush()

    def _collect(self, group: Group, collect: Callable[[], Callable[[], None] | None]) -> None:
        try:
            rest = collect()
        except Exception as error:  # noqa: BLE001 - what a model gives need not be what it declared
            self._failed(group, error)
            return
        if rest is not None:
            self._leaving.append((group, rest))
            return
        finished = time.monotonic()
        for stream in group.streams:
            version = version_of(stream)
            version.device_seconds += stream.seconds
            version.answered[stream.tier] += len(stream.requests)
            for request in stream.requests:
                self.channel.post(Done(request.request, Outcome.DONE, stream.tier, group.started, finished))

    def _left(self, group: Group) -> None:
        """A group has left the device; after one that ran alone, the others have it for as long."""
        if group is self._alone:
            self._alone = None
            now = time.monotonic()
            self._solo_at = now + (now - group.started)

    def _failed(self, group: Group, error: Exception) -> None:
        """Find whose fault it was: everyone runs again alone; who fails alone gets the error."""
        self.device.free(group)
        requests = [request for stream in group.streams for request in requests_of(stream)]
        if len(requests) == 1:
            self._answer(requests[0], Outcome.ERROR, reason=f"{type(error).__name__}: {error}")
        else:
            self._solo.extend(requests)

    def _answer(self, request: Request, outcome: Outcome, reason: str) -> None:
        self._answer_id(request.request, outcome, reason)

    def _answer_id(self, request: int, outcome: Outcome, reason: str) -> None:
        now = time.monotonic()
        self.channel.post(Done(request, outcome, -1, now, now, reason))

    def _report(self) -> Document:
        document = self.document
        document.weight_bytes = self.library.weight_bytes
        for version in self.versions.values():
            entry = document.tenants[version.id]
            tier = version.tiers[version.current]
            entry.device_seconds = version.device_seconds
            entry.waiting = len(version)
            entry.tier = tier.name
            entry.switches = version.switches.by_name()
            ratios = [executable.cost.correction.ratio for holder in tier.buckets.values() for executable in holder]
            entry.implementations = version.implementations
            entry.correction = sum(ratios) / len(ratios) if ratios else 1.0
            entry.answered = dict(zip((one.name for one in version.tiers), version.answered, strict=True))
        self.isolation.report(document)
        return document


def scheduler(settings: WorkerSettings) -> Scheduler:
    """The policy of a mode."""
    match settings.mode:
        case Mode.EXCLUSIVE:
            return Exclusive(max_problems=settings.max_problems)
        case Mode.TIME:
            return TimeSliced(max_problems=settings.max_problems)
        case Mode.SPACE:
            return Spatial(max_problems=settings.max_problems)
        case Mode.SPACE_TIME:
            return SpaceTime(max_problems=settings.max_problems, quantum=settings.quantum)


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    """Entry point of the executor process."""
    sys.setswitchinterval(0.0005)  # a thread that loads a model must not keep the dispatch thread waiting
    ignore_warnings()
    gc.freeze()  # see node.collect_seldom
    channel = ExecutorChannel(connection)
    Worker(channel, memory.buffer, memory.record, settings).run()
