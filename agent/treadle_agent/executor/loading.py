"""The executor's loading thread: models are read, tried and tuned here while the dispatch thread goes on serving."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from treadle_agent.executor.flight_record import Activity, FlightRecord
from treadle_agent.executor.library import Library, LoadedTier
from treadle_agent.executor.precision import PrecisionError
from treadle_agent.executor.protocol import Loaded, Refused, ToFrontEnd, Unloaded, Version
from treadle_agent.executor.super_kernel import ignore_warnings
from treadle_agent.executor.trace import Recorder
from treadle_agent.executor.versions import LoadedVersion
from treadle_agent.program.model import TensorType
from treadle_api.replica import LoadedReason

LOAD_SECONDS = 15.0  # what a load is expected to take at most; the watchdog is patient by a factor
RECORD_SLOT = 15  # of the flight record: a model may crash the process while it is tried, too

Outcome = Callable[[], ToFrontEnd | None]  # for the dispatch thread: take over the result, say what to answer


class LoadingThread:
    """Runs jobs one after another; `collect` hands their outcomes to the dispatch thread, `wake` tells it to."""

    def __init__(self, library: Library, record: FlightRecord, wake: Callable[[], None]) -> None:
        self.library = library
        self._record = record
        self._wake = wake
        self._jobs: queue.SimpleQueue[Callable[[], Outcome]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="loading", daemon=True).start()

    def load(self, version: Version, install: Callable[[LoadedVersion], None]) -> None:
        """Load all tiers of a version, then `install` it on the dispatch thread."""
        self._jobs.put(lambda: self._load(version, install))

    def bind(
        self, loaded: LoadedVersion, binding: int, types: tuple[TensorType, ...], refuse: Callable[[str], None]
    ) -> None:
        """Make a version's tiers runnable for the input types of one row, or call `refuse` on the dispatch thread."""
        self._jobs.put(lambda: self._bind(loaded, binding, types, refuse))

    def unbind(self, loaded: LoadedVersion, types: tuple[TensorType, ...]) -> None:
        """Forget the executables for the input types of one row; nothing runs them any more."""
        self._jobs.put(lambda: self._unbind(loaded, types))

    def unload(self, loaded: LoadedVersion) -> None:
        """Free what a version holds; nothing runs it any more."""
        self._jobs.put(lambda: self._unload(loaded))

    def save(self, recorder: Recorder, saved: Callable[[], None]) -> None:
        """Write a timeline, then call `saved` on the dispatch thread; one that cannot be written is not there."""
        self._jobs.put(lambda: self._save(recorder, saved))

    def collect(self) -> list[ToFrontEnd]:
        """On the dispatch thread: take over finished jobs; returns what the front end is to be told."""
        answers = []
        while not self._outcomes.empty():
            answer = self._outcomes.get()()
            if answer is not None:
                answers.append(answer)
        return answers

    def _work(self) -> None:
        ignore_warnings()
        try:
            self.library.begin()
            while True:
                self._finished(self._jobs.get()())
        except Exception as error:  # noqa: BLE001 - the executor must end of it, since no model will load any more
            self._finished(partial(_raise, error))

    def _finished(self, outcome: Outcome) -> None:
        self._outcomes.put(outcome)
        self._wake()

    def _load(self, version: Version, install: Callable[[LoadedVersion], None]) -> Outcome:
        self._record.begin(RECORD_SLOT, Activity.LOAD, (version.id,), time.monotonic(), LOAD_SECONDS)
        tiers: list[LoadedTier] = []
        try:
            for spec in version.tiers:
                tier = LoadedTier(spec.name, Path(spec.artifact), spec.precision)
                tiers.append(tier)
                self.library.check(spec.precision)
                if (types := tier.default_types) is not None:
                    self.library.prepare(tier, types)
        except Exception as error:  # noqa: BLE001 - whatever a model does to its libraries, the other tenants go on
            for tier in tiers:
                self.library.forget(tier)
            failed, reason = tiers[-1].name if tiers else version.tiers[0].name, _reason(error)
            cause = error.cause if isinstance(error, PrecisionError) else LoadedReason.LOAD_FAILED
            return lambda: Refused(version.id, reason, cause, failed)
        finally:
            self._record.end(RECORD_SLOT)
        loaded = LoadedVersion(version, tiers)
        changes = self.library.take_changes()
        implementations = tuple(self.library.implementation(tier) for tier in tiers)

        def outcome() -> ToFrontEnd:
            _apply(changes)
            install(loaded)
            service, batches = (tuple(tier.service for tier in tiers), tuple(tier.batches for tier in tiers))
            return Loaded(version.id, implementations, service, batches)

        return outcome

    def _bind(
        self, loaded: LoadedVersion, binding: int, types: tuple[TensorType, ...], refuse: Callable[[str], None]
    ) -> Outcome:
        self._record.begin(RECORD_SLOT, Activity.BIND, (loaded.id,), time.monotonic(), LOAD_SECONDS)
        holders = []
        try:
            for tier in loaded.loaded_tiers:
                holders.append(self.library.prepare(tier, types))  # noqa: PERF401 - their number tells who failed
        except Exception as error:  # noqa: BLE001 - as above
            reason = f"tier {loaded.tiers[len(holders)].name}: {_reason(error)}"
            return lambda: refuse(reason)
        finally:
            self._record.end(RECORD_SLOT)
        changes = self.library.take_changes()

        def outcome() -> None:
            _apply(changes)
            if binding in loaded.bindings:  # not unbound meanwhile
                for tier, holder in zip(loaded.tiers, holders, strict=True):
                    tier.buckets[binding] = holder

        return outcome

    def _unbind(self, loaded: LoadedVersion, types: tuple[TensorType, ...]) -> Outcome:
        for tier in loaded.loaded_tiers:
            self.library.unbind(tier, types)
        return lambda: None

    def _unload(self, loaded: LoadedVersion) -> Outcome:
        for tier in loaded.loaded_tiers:
            self.library.forget(tier)
        return lambda: Unloaded(loaded.id)

    def _save(self, recorder: Recorder, saved: Callable[[], None]) -> Outcome:
        try:
            recorder.write()
        except OSError as error:
            sys.stderr.write(f"the timeline is not written: {error}\n")
        return saved


def _apply(changes: list[Callable[[], None]]) -> None:
    for change in changes:
        change()


def _raise(error: Exception) -> None:
    raise error


def _reason(error: Exception) -> str:
    if isinstance(error, (OSError, msgspec.MsgspecError)):
        return str(error)
    if isinstance(error, PrecisionError):
        return f"precision: {error}"
    return f"failed when it was tried: {type(error).__name__}: {error}"
