"""What the rest of the agent sees of an executor: `Gateway`, implemented by `supervisor.Supervisor`.

A request's way: `open` a call (a block of shared memory sized for its shapes), write the inputs in place, `answer` it,
read the outputs in place, `release` it. A call survives the executor process: it is replayed until it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from treadle_agent.executor.protocol import Done, Version
from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.model import Shape
from treadle_agent.program.ops.registry import Array
from treadle_api.replica import LoadedReason


class RefusedError(Exception):
    """Raised when a version cannot be loaded; the message is for the tenant's owner.

    `cause` tells what lies in this device (`LoadFailed`) from what would go wrong on any other too; `tier` is the one
    that the `reason` is about, or empty.
    """

    def __init__(self, reason: str, cause: LoadedReason = LoadedReason.LOAD_FAILED, tier: str = "") -> None:
        super().__init__(f"tier {tier}: {reason}" if tier else reason)
        self.reason = reason
        self.cause = cause
        self.tier = tier


class FullError(Exception):
    """Raised when the tenant's queue, or the memory for requests, is full: try again later."""


class OversizeError(FullError):
    """Raised when a request is larger than all of the memory for requests: trying again does not help."""


class GoneError(Exception):
    """Raised when a version is no longer served."""


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded version with what its tiers have in common. Free dimensions are -1; `batchable`: dimension 0 is rows.

    `implementations`, `service_seconds` (one row, alone) and `batches` (rows of one launch and its seconds, where that
    was measured) are in the order of `version.tiers`.
    """

    version: Version
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool
    implementations: tuple[str, ...]
    service_seconds: tuple[float, ...]
    batches: tuple[tuple[tuple[int, float], ...], ...] = ()


class Call(Protocol):
    """One request's block: writeable input views, then output views that are valid from the answer to `release`."""

    @property
    def inputs(self) -> tuple[Array, ...]:
        """Views of the declared shapes and types, in the order of `Served.inputs`."""

    @property
    def outputs(self) -> tuple[Array, ...]:
        """Views in the order of `Served.outputs`."""

    def release(self) -> None:
        """Give the block back; the views are invalid afterwards. Releasing twice is an error."""


class Gateway(Protocol):
    """An executor process and its supervisor, from the event loop of the front end."""

    async def load(self, version: Version) -> Served:
        """Load a version beside those already served; raises RefusedError."""

    async def retire(self, version: int) -> None:
        """Serve what was accepted for a version, then unload it."""

    async def bind(self, served: Served, shapes: tuple[Shape, ...]) -> None:
        """Make the input shapes (rows aside) known, compiling programs where that is needed; idempotent and cheap when
        known. Raises RefusedError with the reason where the model does not accept them, FullError, GoneError.
        Compiling goes on when the await is cancelled: for the requests to come.
        """

    def bound(self, served: Served, shapes: tuple[Shape, ...]) -> bool:
        """Whether `open` may be called with these shapes."""

    def open(self, served: Served, shapes: tuple[Shape, ...]) -> Call:
        """Reserve a block; raises FullError, OversizeError, GoneError, KeyError when not `bound`."""

    async def answer(self, call: Call, deadline: float, priority: int = 0, tier: int = -1, forbidden: int = 0) -> Done:
        """Run the request; `deadline` in seconds of CLOCK_MONOTONIC; `tier`, `forbidden` as in `protocol.Submit`.
        Always returns: an overdue request is shed. Cancelling the await cancels the request.
        """

    def fault(self, served: Served) -> str:
        """Why a version is not run any more, though it was loaded; "" while it is."""

    def under_way(self, served: Served) -> int:
        """Requests that were opened for a version and have not ended."""

    async def statistics(self) -> Mapping[str, Any]:
        """The executor's counters (`executor.statistics`), and the supervisor's restarts."""

    def trace(self, path: Path) -> None:
        """Record launches from now on, for the timeline that `end_trace` writes to `path`; lost with the process."""

    async def end_trace(self) -> None:
        """End the recording; the file is there afterwards, unless the process ended or the disk is full."""

    async def close(self) -> None:
        """Stop the process; calls under way are shed."""
