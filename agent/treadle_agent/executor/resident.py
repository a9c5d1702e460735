"""A version and its requests, as the supervisor keeps them across executor processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from treadle_agent.executor.bindings import Bindings, Plan, Shapes
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Done, Loaded, Submit, Version
from treadle_agent.executor.refusals import Refusals
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.program.ops.registry import Array


class Stage(Enum):
    """Where a version stands in the running executor process."""

    QUEUED = "queued"  # to be loaded
    LOADING = "loading"
    UP = "up"
    UNLOADING = "unloading"
    ISOLATED = "isolated"  # not to be loaded again


class Resident:
    """One version. `calls`: requests opened and not yet ended; `held`: those to submit once it is up.

    `block_bytes`: what its requests' blocks hold.
    """

    def __init__(self, version: Version, *, batchable: bool, bindings: int) -> None:
        loop = asyncio.get_running_loop()
        self.version = version
        self.stage = Stage.QUEUED
        self.reason = ""  # of isolation
        self.retiring = False
        self.served: Served | None = None
        self.bindings = Bindings(batchable=batchable, limit=bindings)
        self.compiling: dict[Shapes, asyncio.Task[None]] = {}
        self.refusals = Refusals()
        self.binding = 0  # requests that wait for shapes
        self.calls = 0
        self.block_bytes = 0
        self.held: list[PendingCall] = []
        self.loaded: asyncio.Future[Loaded] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    @property
    def urgency(self) -> float:
        """The earliest deadline of a request that waits for this version; infinity without one."""
        return min((call.deadline for call in self.held), default=float("inf"))


class PendingCall:
    """One request (`gateway.Call`), from `open` until it is both ended and released: only then is its block free.

    `posted`: the running executor has it and may write to its block; `suspect`: it is to run alone.
    """

    __slots__ = (
        "_memory", "_on_release", "_outputs", "arrival", "block", "deadline", "ended", "forbidden", "future", "inputs",
        "plan", "posted", "priority", "released", "request", "resident", "suspect", "tier",
    )  # fmt: skip

    def __init__(
        self,
        resident: Resident,
        plan: Plan,
        request: int,
        block: int,
        memory: SharedMemory,
        on_release: Callable[[PendingCall], None],
    ) -> None:
        self.resident = resident
        self.plan = plan
        self.request = request
        self.block = block
        self.inputs: tuple[Array, ...] = tuple(
            [memory.array(dtype, shape, block + at) for dtype, shape, at in plan.inputs]
        )
        self.future: asyncio.Future[Done] | None = None
        self.arrival = 0.0
        self.deadline = 0.0
        self.priority = 0
        self.tier = -1
        self.forbidden = 0
        self.posted = False
        self.suspect = False
        self.ended = False
        self.released = False
        self._memory = memory
        self._outputs: tuple[Array, ...] | None = None
        self._on_release = on_release

    @property
    def outputs(self) -> tuple[Array, ...]:
        """Views in the order of `Served.outputs`; they hold the answer after one with Outcome.DONE."""
        if self._outputs is None:
            block, array = self.block, self._memory.array
            self._outputs = tuple([array(dtype, shape, block + at) for dtype, shape, at in self.plan.outputs])
        return self._outputs

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self.future is not None and not self.future.done()

    def release(self) -> None:
        """Give the block back; raises ValueError the second time."""
        if self.released:
            raise ValueError(f"request {self.request} was released before")
        self.released = True
        self.inputs = ()
        self._outputs = None
        self._on_release(self)

    def resolve(self, done: Done) -> None:
        """Tell the caller, unless it has gone or been told."""
        if self.future is not None and not self.future.done():
            self.future.set_result(done)

    def message(self, deadline: float) -> Submit:
        """What the executor is told."""
        return Submit(
            self.request,
            self.resident.version.id,
            self.plan.binding.number,
            self.plan.rows,
            self.block,
            self.arrival,
            deadline,
            self.priority,
            self.tier,
            self.suspect,
            self.forbidden,
        )
