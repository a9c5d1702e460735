"""Reading the time, in one place."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from treadle_api.units import Seconds


class Clock:
    """Two clocks: one that people set, and one that only ever goes on, also while the machine sleeps."""

    def wall(self) -> Seconds:
        """Seconds since the epoch."""
        return Seconds(time.time())

    def steady(self) -> Seconds:
        """Seconds since some moment; the asyncio loop's clock stands still while the machine sleeps, this one not."""
        return Seconds(time.clock_gettime(time.CLOCK_BOOTTIME))

    def stamp(self) -> str:
        """The wall time as Kubernetes writes it in Leases and Events: RFC 3339 in UTC with microseconds."""
        return datetime.fromtimestamp(self.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
