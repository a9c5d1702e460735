"""What the device is running right now, in the head of the shared memory: it outlives the executor process.

One slot a stream. The executor writes before and after each launch; the front end reads while it runs (is a launch
stuck?) and after it died (whose kernel was on the device?).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES

SLOTS = 16
SLOT_BYTES = FLIGHT_RECORD_BYTES // SLOTS
_HEADER = struct.Struct("<QddII")  # sequence, started, expected, activity, count
_ACTIVITY = struct.Struct("<I")
_ACTIVITY_AT = 24
CAPACITY = (SLOT_BYTES - _HEADER.size) // 8  # names in one slot


class Activity(IntEnum):
    """What a slot's stream is doing, and so what its names are."""

    IDLE = 0
    LAUNCH = 1  # names are requests
    LOAD = 2  # the name is a version
    BIND = 3  # the name is a version, some input shapes of which are tried


_ACTIVITIES = frozenset(Activity) - {Activity.IDLE}


@dataclass(frozen=True, slots=True)
class Flight:
    """One launch or load under way. `started` in seconds of CLOCK_MONOTONIC, `expected` in seconds.

    `sequence` tells one flight of a slot from the next; `complete` is False where more names took part than fit.
    """

    slot: int
    sequence: int
    activity: Activity
    names: tuple[int, ...]
    started: float
    expected: float
    complete: bool


class FlightRecord:
    """The record over the first FLIGHT_RECORD_BYTES of `memory` (writeable bytes)."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory[:FLIGHT_RECORD_BYTES]
        words = self._memory.cast("Q")
        step, head = SLOT_BYTES // 8, _HEADER.size // 8
        self._names = [words[slot * step + head : (slot + 1) * step] for slot in range(SLOTS)]
        self._sequence = 0

    def begin(self, slot: int, activity: Activity, names: Sequence[int], started: float, expected: float) -> None:
        """Write down what `slot` (0..SLOTS-1) is about to run; one thread a slot."""
        fitting = names if len(names) <= CAPACITY else names[:CAPACITY]
        self._names[slot][: len(fitting)] = memoryview(array("Q", fitting))
        self._sequence += 1  # shared by the slots' threads: a lost increment still differs from the slot's last
        _HEADER.pack_into(self._memory, slot * SLOT_BYTES, self._sequence, started, expected, activity, len(names))

    def end(self, slot: int) -> None:
        """Nothing runs in `slot` any more."""
        _ACTIVITY.pack_into(self._memory, slot * SLOT_BYTES + _ACTIVITY_AT, Activity.IDLE)

    def flights(self) -> list[Flight]:
        """What runs now; a slot that changes while it is read is left out."""
        found = []
        for slot in range(SLOTS):
            header = _HEADER.unpack_from(self._memory, slot * SLOT_BYTES)
            sequence, started, expected, activity, count = header
            if activity not in _ACTIVITIES:  # or what a model wrote where it has no business
                continue
            names = tuple(self._names[slot][: min(count, CAPACITY)])
            if _HEADER.unpack_from(self._memory, slot * SLOT_BYTES) == header:
                flight = Flight(slot, sequence, Activity(activity), names, started, expected, count <= CAPACITY)
                found.append(flight)
        return found

    def clear(self) -> None:
        """Forget everything: the process that wrote it is gone."""
        for slot in range(SLOTS):
            self.end(slot)

    def release(self) -> None:
        """Let go of the memory."""
        for names in self._names:
            names.release()
        self._memory.release()
