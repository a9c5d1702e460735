"""What the front end and an executor process say to each other.

Messages travel in batches, flushed once a loop turn, over a Unix stream socket: a little-endian uint32 length, then a
msgpack array of the tagged structs below. Tensors never travel: they lie in a memfd that the front end owns, and a
message names the block. Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from treadle_agent.program.model import ALIGNMENT, TensorType
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision

GPU_LOST = 70  # the exit status of an executor process on whose GPU an error was met: its context is lost
FLIGHT_RECORD_BYTES = 65536  # head of the memfd: what the device is running right now (`flight_record`)


class Mode(IntEnum):
    """How an executor shares its device (Jain et al. 2018, section 2)."""

    EXCLUSIVE = 0
    TIME = 1
    SPACE = 2
    SPACE_TIME = 3


class Outcome(IntEnum):
    """How a request ended."""

    DONE = 0
    SHED = 1  # cannot meet its deadline any more
    OVERLOADED = 2  # the tenant's queue is full
    ERROR = 3  # the model failed on this request, or the tenant is isolated


class TierSpec(msgspec.Struct, frozen=True):
    """A tier to load: accuracy in percent, the loader's artifact folder, and how precisely it is to be computed."""

    name: str
    accuracy: float
    artifact: str
    precision: Precision = Precision.FLOAT32


class Version(msgspec.Struct, frozen=True):
    """One immutable version of a tenant: what a request is admitted to and answered from.

    `deadline` in seconds; `tiers` from most to least accurate, all at or above the tenant's accuracy floor;
    `pinned` is the index of the only tier to serve, or -1.
    """

    id: int
    tenant: str
    deadline: float
    priority: int
    queue_limit: int
    tiers: tuple[TierSpec, ...]
    pinned: int = -1


class Load(msgspec.Struct, tag=1, array_like=True):
    """Front end: load a version; answered by Loaded or Refused."""

    version: Version


class Bind(msgspec.Struct, tag=2, array_like=True):
    """Front end: requests with this binding of the free dimensions (batch excepted) follow; `shapes` and `outputs`
    in the order of the model's inputs and outputs, dimension 0 being 1 where the version is batchable.
    """

    version: int
    binding: int
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]


class Unbind(msgspec.Struct, tag=8, array_like=True):
    """Front end: no more requests with a binding will come, and none is unanswered: what it holds may go. Its number
    is not used again.
    """

    version: int
    binding: int


class Unload(msgspec.Struct, tag=3, array_like=True):
    """Front end: no more requests will come for a version; answered by Unloaded when its queue is empty."""

    version: int


class Submit(msgspec.Struct, tag=4, array_like=True):
    """Front end: one request. `rows` is its batch dimension (1 where not batchable), `block` the byte offset of its
    tensors (`block_layout`), `tier` an index or -1 for the executor's choice, `forbidden` the tiers that this must not
    be (bit i is tier i), `priority` 1 (highest) and up; `solo`: run it with nothing beside it (the search for the
    request that kills executors).
    """

    request: int
    version: int
    binding: int
    rows: int
    block: int
    arrival: float
    deadline: float
    priority: int = 0
    tier: int = -1
    solo: bool = False
    forbidden: int = 0


class Cancel(msgspec.Struct, tag=5, array_like=True):
    """Front end: the client has gone; answered like any request."""

    version: int
    request: int


class Report(msgspec.Struct, tag=6, array_like=True):
    """Front end: send Statistics."""

    sequence: int


class Trace(msgspec.Struct, tag=7, array_like=True):
    """Front end: record launches from now on into a Chrome trace file at `path`; an empty path ends the recording.

    Send Statistics once the recording before it, if there is one, is written.
    """

    path: str
    sequence: int = 0


class Loaded(msgspec.Struct, tag=1, array_like=True):
    """Executor: a version serves; for each tier the implementation chosen and its measured seconds for one row.

    `batches`: for each tier the rows of a launch, ascending, with the seconds that it takes; empty where shapes that
    the clients choose are still to come.
    """

    version: int
    implementations: tuple[str, ...]
    service: tuple[float, ...]
    batches: tuple[tuple[tuple[int, float], ...], ...]


class Refused(msgspec.Struct, tag=2, array_like=True):
    """Executor: a version was not loaded; `tier`: the one that it lies in, or empty."""

    version: int
    reason: str
    cause: LoadedReason = LoadedReason.LOAD_FAILED
    tier: str = ""


class Unloaded(msgspec.Struct, tag=3, array_like=True):
    """Executor: a version and its memory are gone."""

    version: int


class Done(msgspec.Struct, tag=4, array_like=True):
    """Executor: a request ended. Outputs lie in its block when `outcome` is DONE; `tier` is the tier that answered;
    `started` and `finished` bound its time on the device.
    """

    request: int
    outcome: int
    tier: int = -1
    started: float = 0.0
    finished: float = 0.0
    reason: str = ""


class Statistics(msgspec.Struct, tag=5, array_like=True):
    """Executor: counters since the process began, as a JSON document (`executor.statistics`)."""

    sequence: int
    document: bytes


ToExecutor = Load | Bind | Unbind | Unload | Submit | Cancel | Report | Trace
ToFrontEnd = Loaded | Refused | Unloaded | Done | Statistics


def with_rows(type_: TensorType, rows: int, *, batchable: bool) -> TensorType:
    """The tensor type of `rows` requests' rows, given that of one row."""
    return TensorType(type_.dtype, (rows, *type_.shape[1:])) if batchable else type_


def block_layout(types: Sequence[TensorType]) -> tuple[tuple[int, ...], int]:
    """Offsets of inputs then outputs inside a request's block, and the block's size; all multiples of ALIGNMENT."""
    offsets, end = [], 0
    for type_ in types:
        offsets.append(end)
        end += -(-type_.nbytes // ALIGNMENT) * ALIGNMENT
    return tuple(offsets), max(end, ALIGNMENT)
