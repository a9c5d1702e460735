"""How long a turn of the event loop takes: what anything that becomes ready has to wait for."""

from __future__ import annotations

import asyncio
import math
import time

PERIOD = 0.002  # seconds between looks
FORGET = 0.7  # of the length that is kept at each look: a long turn is believed in for some milliseconds
MEMORY = 0.02  # seconds over which `sustained` is a mean


class TurnLength:
    """Measures by a timer's delay.

    `seconds` is the longest turn of late. `sustained` is the mean over time of the loop's own work in a turn: a single
    long turn (a large body, a garbage collection) counts little in it, nor does one in which others had the processor;
    a loop that cannot keep up counts in full.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.sustained = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure the running loop until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._worked = time.thread_time()
        self._arm()

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        self._due = self._loop.time() + PERIOD
        self._handle = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        late, worked = self._loop.time() - self._due, time.thread_time()
        work = min(late, worked - self._worked)
        self._worked = worked
        self.seconds = max(late, FORGET * self.seconds)
        self.sustained += (1.0 - math.exp(-(late + PERIOD) / MEMORY)) * (work - self.sustained)
        self._arm()
