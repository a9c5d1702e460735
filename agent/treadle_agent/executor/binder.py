"""Input shapes that requests bring: compiled once, told to the executor, and refused for a while where they fail."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from treadle_agent.executor.bindings import Shapes
from treadle_agent.executor.gateway import FullError, RefusedError, Served
from treadle_agent.executor.protocol import Bind, ToExecutor, Unbind
from treadle_agent.executor.resident import Resident, Stage
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.tiers import CompileBinding, compile_types, one_row_of

COMPILERS = 2  # bindings compiled at a time: each is a loader process


class Binder:
    """All versions'. `resident_of` raises GoneError for one that is no longer served; `post` sends to the executor."""

    def __init__(
        self,
        compile_binding: CompileBinding,
        settings: SupervisorSettings,
        resident_of: Callable[[Served], Resident],
        post: Callable[[ToExecutor], None],
    ) -> None:
        self._compile_binding = compile_binding
        self._settings = settings
        self._resident = resident_of
        self._post = post
        self._compilers = asyncio.Semaphore(COMPILERS)

    async def bind(self, served: Served, shapes: Shapes) -> None:
        """Make input shapes (rows aside) known: see `gateway.Gateway`.

        Raises:
            RefusedError: the model does not accept them.
            FullError: as many other shapes as are kept are all in use, or as many as may be are being compiled, or as
                many requests as may do so wait for one.
            GoneError: the version is no longer served.
        """
        resident = self._resident(served)
        one_row = one_row_of(served, shapes)
        if one_row in resident.bindings:
            return
        resident.refusals.check(one_row, time.monotonic())
        task = resident.compiling.get(one_row)
        if task is None and len(resident.compiling) >= self._settings.compiling:
            raise FullError("too many other input shapes are new here and still being compiled; try again later")
        if resident.binding >= self._settings.waiting_for_shapes:
            raise FullError("too many requests wait for input shapes that are still being compiled; try again later")
        if task is None:
            task = asyncio.get_running_loop().create_task(self.add(resident, served, one_row, self._compilers))
            resident.compiling[one_row] = task
            task.add_done_callback(_mark_retrieved)
        resident.binding += 1
        try:
            await asyncio.shield(task)
        finally:
            resident.binding -= 1

    async def add(
        self, resident: Resident, served: Served, one_row: Shapes, turn: contextlib.AbstractAsyncContextManager[None]
    ) -> None:
        """Make the shapes of one row known once it is their `turn`; raises RefusedError, GoneError."""
        try:
            async with turn:
                self._resident(served)  # it may have gone while others were compiled
                inputs, outputs = await asyncio.to_thread(compile_types, self._compile_binding, served, one_row)
            self._resident(served)
            binding, evicted = resident.bindings.add(one_row, inputs, outputs)
            if resident.stage is Stage.UP:
                if evicted is not None:
                    self._post(Unbind(served.version.id, evicted.number))
                self._post(Bind(served.version.id, binding.number, inputs, outputs))
        except RefusedError as error:
            resident.refusals.add(one_row, error, time.monotonic())
            raise
        finally:
            resident.compiling.pop(one_row, None)


def _mark_retrieved(task: asyncio.Task[None]) -> None:
    """An error that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()
