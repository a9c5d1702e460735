"""What came of each request, as compact arrays that cross a pipe in batches."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOST = 0  # status of a request whose connection was refused, broke, or spoke something else than HTTP
UNANSWERED = -1  # status of a request that was not answered (or not even sent) when the run ended

RECORD = np.dtype(
    [
        ("request", "<u4"),  # index in the schedule
        ("target", "<u2"),
        ("variant", "<u2"),
        ("intended", "<f8"),  # seconds from the start, as are the next two
        ("sent", "<f8"),
        ("finished", "<f8"),
        ("status", "<i2"),  # HTTP, LOST or UNANSWERED
        ("tier", "<i2"),  # index into Batch.tiers; -1 where the answer names none
        ("rows", "<i4"),  # rows scored
        ("correct", "<i4"),  # of them, those with the right label
    ]
)
PACK = struct.Struct("<IHHdddhhii")
assert PACK.size == RECORD.itemsize

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that finished since the last batch: (N,) of RECORD; all tier names known so far; with `keep_body`, the
    N response bodies.
    """

    records: Records
    tiers: tuple[str, ...]
    bodies: tuple[bytes, ...] = ()


def to_records(rows: Iterable[bytes]) -> Records:
    """Records from their packed rows."""
    return np.frombuffer(b"".join(rows), dtype=RECORD)


def latency(records: Records) -> npt.NDArray[np.float64]:
    """Seconds from the time each request was due to its answer: (N,), a server's backlog included."""
    result: npt.NDArray[np.float64] = records["finished"] - records["intended"]
    return result


def concatenate(batches: Sequence[Batch]) -> Batch:
    """All batches of a run as one, in the order the requests were due."""
    if not batches:
        return Batch(np.empty(0, RECORD), ())
    records = np.concatenate([batch.records for batch in batches])
    order = np.argsort(records["request"], kind="stable")
    bodies = [body for batch in batches for body in batch.bodies]
    return Batch(records[order], batches[-1].tiers, tuple(bodies[i] for i in order) if bodies else ())
