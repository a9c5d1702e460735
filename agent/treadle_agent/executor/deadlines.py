"""When requests become overdue, without a timer for each: their numbers lie in buckets of time."""

from __future__ import annotations

BUCKET = 0.05  # seconds: how much too late `due` may name a request


class Deadlines:
    """Requests by deadline. There is no removal: a request answered in time is named all the same, once."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[int]] = {}

    def add(self, request: int, deadline: float) -> None:
        """Remember a request; `deadline` in seconds of CLOCK_MONOTONIC, infinity for never."""
        if deadline == float("inf"):
            return
        bucket = int(deadline / BUCKET) + 1
        found = self._buckets.get(bucket)
        if found is None:
            self._buckets[bucket] = [request]
        else:
            found.append(request)

    def due(self, now: float) -> list[int]:
        """Requests whose deadline has passed at `now`, at most BUCKET ago; each is named once."""
        last = int(now / BUCKET)
        passed = sorted(bucket for bucket in self._buckets if bucket <= last)
        return [request for bucket in passed for request in self._buckets.pop(bucket)]
