"""The versions an executor is to serve, and bringing each new process to serve them.

Loads are sent one at a time, so that the version being loaded when a process dies is known even where the process
could not write it down. After a restart the versions whose requests are most urgent come first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from treadle_agent.executor.gateway import RefusedError
from treadle_agent.executor.protocol import Bind, Load, Loaded, Refused, ToExecutor, Unload, Unloaded
from treadle_agent.executor.resident import Resident, Stage


class Roster:
    """All residents by version number.

    `post` sends to the running process; `on_up` and `on_isolated` are called when a version serves in it, and when it
    never will again.
    """

    def __init__(
        self,
        post: Callable[[ToExecutor], None],
        on_up: Callable[[Resident], None],
        on_isolated: Callable[[Resident], None],
    ) -> None:
        self._post = post
        self._on_up = on_up
        self._on_isolated = on_isolated
        self._residents: dict[int, Resident] = {}
        self._queue: list[Resident] = []
        self._running = False
        self.loading: Resident | None = None
        self.loading_since = 0.0  # seconds of CLOCK_MONOTONIC

    def __iter__(self) -> Iterator[Resident]:
        return iter(self._residents.values())

    def get(self, version: int) -> Resident | None:
        """The resident of that number."""
        return self._residents.get(version)

    def add(self, resident: Resident) -> None:
        """Load a version; `resident.loaded` tells when, or raises RefusedError.

        Raises ValueError for a number in use.
        """
        if resident.version.id in self._residents:
            raise ValueError(f"version {resident.version.id} is loaded already: numbers are never used again")
        self._residents[resident.version.id] = resident
        self._queue.append(resident)
        self._load_next()

    def retire(self, resident: Resident) -> None:
        """Let a version go once its requests have ended; `resident.gone` tells when."""
        resident.retiring = True
        self.settle(resident)

    def settle(self, resident: Resident) -> None:
        """Unload a retiring version if nothing keeps it any more."""
        if not resident.retiring or resident.calls:
            return
        if resident.stage is Stage.UP:
            resident.stage = Stage.UNLOADING
            self._post(Unload(resident.version.id))
        elif resident.stage in (Stage.QUEUED, Stage.ISOLATED):
            self._forget(resident)

    def isolate(self, resident: Resident, error: RefusedError) -> None:
        """Never load a version again: its requests fail with the reason; if it never served, it is refused."""
        if not resident.loaded.done():
            resident.loaded.set_exception(error)
        resident.stage = Stage.ISOLATED
        resident.reason = str(error)
        if resident.served is None:
            self._forget(resident)
        else:
            self._on_isolated(resident)
            self.settle(resident)

    def on_loaded(self, message: Loaded) -> None:
        """The executor serves a version."""
        resident = self._take_loading(message.version)
        if resident is not None:
            resident.stage = Stage.UP
            for binding in resident.bindings:
                self._post(Bind(message.version, binding.number, binding.inputs, binding.outputs))
            if not resident.loaded.done():
                resident.loaded.set_result(message)
            self._on_up(resident)
            self.settle(resident)
        self._load_next()

    def on_refused(self, message: Refused) -> None:
        """The executor does not serve a version."""
        resident = self._take_loading(message.version)
        if resident is not None:
            self.isolate(resident, RefusedError(message.reason, message.cause, message.tier))
        self._load_next()

    def on_unloaded(self, message: Unloaded) -> None:
        """The executor has let a version go."""
        resident = self._residents.get(message.version)
        if resident is not None and resident.stage is Stage.UNLOADING:
            self._forget(resident)

    def stop(self) -> None:
        """The executor process is gone, and with it all it had loaded."""
        self._running = False
        self.loading = None
        self._queue.clear()
        for resident in list(self._residents.values()):
            if resident.stage is Stage.UNLOADING:
                self._forget(resident)
            elif resident.stage is not Stage.ISOLATED:
                resident.stage = Stage.QUEUED

    def resume(self) -> None:
        """A new executor process runs: load everything, the most urgent first."""
        self._running = True
        waiting = [resident for resident in self if resident.stage is Stage.QUEUED]
        self._queue = sorted(waiting, key=lambda resident: resident.urgency)
        self._load_next()

    def forget_all(self) -> None:
        """No process is alive, and none will come."""
        for resident in list(self._residents.values()):
            self._forget(resident)

    def _load_next(self) -> None:
        while self._running and self.loading is None and self._queue:
            resident = self._queue.pop(0)
            if resident.stage is Stage.QUEUED and resident.version.id in self._residents:
                resident.stage = Stage.LOADING
                self.loading = resident
                self.loading_since = time.monotonic()
                self._post(Load(resident.version))

    def _take_loading(self, version: int) -> Resident | None:
        resident = self.loading
        if resident is None or resident.version.id != version:
            return None
        self.loading = None
        return resident

    def _forget(self, resident: Resident) -> None:
        self._residents.pop(resident.version.id, None)
        if not resident.loaded.done():
            resident.loaded.set_exception(RefusedError("it was retired before it was loaded"))
        if not resident.gone.done():
            resident.gone.set_result(None)
