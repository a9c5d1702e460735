"""When another device is tried, after some could not load a tenant: later each time, so that failures cost little."""

from __future__ import annotations

from collections.abc import Sequence

MOST_FAILED = 3  # devices that are remembered, by their replicas; before a fourth is tried, the first is given up
FIRST_WAIT = 15.0  # seconds, after the first failure
WAIT_GROWTH = 8.0
LONGEST_WAIT = 3600.0


def next_try(failed: Sequence[float], now: float) -> float | None:
    """When the next device may be tried; None: now. `failed`: when the replicas that failed were created."""
    if not failed:
        return None
    wait = min(LONGEST_WAIT, FIRST_WAIT * WAIT_GROWTH ** (len(failed) - 1))
    at = max(failed) + wait
    return at if now < at else None
