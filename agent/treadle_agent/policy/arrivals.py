"""How often requests arrive, from the last ones alone (Zhang et al. 2020, Algorithm 1: an event window)."""

from __future__ import annotations

from collections import deque

EVENTS = 40  # arrivals in a window: about a second of a small load, and the rate to about 16 %


class EventWindow:
    """The last `events` arrivals. A window of events, not of time: it follows a burst the sooner the larger that is."""

    __slots__ = ("_times",)

    def __init__(self, events: int = EVENTS) -> None:
        self._times: deque[float] = deque(maxlen=events)

    def add(self, now: float) -> None:
        """A request arrived at `now`; one that is older than the youngest counts as young as that (a replay)."""
        self._times.append(max(now, self._times[-1]) if self._times else now)

    def rate(self) -> float:
        """Requests a second between the oldest and the youngest; 0 before two have come at different times."""
        times = self._times
        span = times[-1] - times[0] if times else 0.0
        return (len(times) - 1) / span if span > 0.0 else 0.0
