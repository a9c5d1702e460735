"""Which device of a node answers a request: the one that can serve it first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MEMORY = 1.0  # seconds of work, and of time, that a device's pace is judged by
PRIOR = 0.05  # seconds that count as done at pace 1 before anything is known


class Backlog:
    """What one device owes, and how fast it gets through it.

    Work is in seconds that requests take one by one. Merged, a device gets through more than a second of it in a
    second: that is its pace, which is learned.
    """

    def __init__(self) -> None:
        self._owed = 0.0
        self._requests = 0
        self._since = 0.0  # when something was last known to be owed and to be done: what follows is working time
        self._done = PRIOR
        self._busy = PRIOR

    @property
    def pace(self) -> float:
        """Seconds of work done in a second."""
        return self._done / self._busy

    @property
    def wait(self) -> float:
        """Seconds until all that is owed is done."""
        return self._owed / self.pace

    def begin(self, work: float, now: float) -> None:
        """A request of `work` seconds was handed to the device at `now`."""
        if not self._requests:
            self._since = now
        self._requests += 1
        self._owed += work

    def end(self, work: float, now: float, *, done: bool) -> None:
        """It ended, with or without having been run."""
        self._requests -= 1
        self._owed = max(self._owed - work, 0.0) if self._requests else 0.0  # no drift from rounding
        self._busy += max(now - self._since, 0.0)
        self._since = now
        if done:
            self._done += work
        if (excess := max(self._busy, self._done) / MEMORY) > 1.0:
            self._busy /= excess
            self._done /= excess


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that could answer: seconds until it is free, and seconds that the request takes it."""

    wait: float
    service: float


def choose_device(candidates: Sequence[Candidate]) -> int:
    """The index of the device that is done first; the first of equals."""
    return min(range(len(candidates)), key=lambda index: candidates[index].wait + candidates[index].service)
