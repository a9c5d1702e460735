"""Reading the time, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
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


class ServerClock(Clock):
    """The API server's wall time, for comparison with what it has stamped; `ahead`: how far it is ahead of ours."""

    def __init__(self, ahead: Callable[[], Seconds]) -> None:
        self._ahead = ahead

    def wall(self) -> Seconds:
        """See `Clock`."""
        return Seconds(super().wall() + self._ahead())


def ahead_by(date: float, asked: float, answered: float, known: Seconds) -> Seconds:
    """How far a server's clock is ahead of ours, in seconds.

    Args:
        date: what its clock showed, in whole seconds, when it answered.
        asked: what ours showed before.
        answered: and after.
        known: what was found before; it stays as long as it may be right, give or take a second.
    """
    least, most = date - answered, date + 1.0 - asked
    return known if least - 1.0 <= known <= most + 1.0 else Seconds((least + most) / 2)
