"""Waiting longer after each failure, so that what cannot succeed is not tried in a storm."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from treadle_api.units import Seconds

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class BackoffTiming:
    """The first wait, and the longest; each is twice the one before."""

    first: Seconds
    longest: Seconds


@dataclass(frozen=True, slots=True)
class _Failing:
    failures: int
    until: Seconds


class Backoff(Generic[K]):
    """Waits by key; a key that never failed waits for nothing."""

    def __init__(self, timing: BackoffTiming) -> None:
        self._timing = timing
        self._failing: dict[K, _Failing] = {}

    def __len__(self) -> int:
        return len(self._failing)

    def failed(self, key: K, now: float, least: float = 0.0) -> Seconds:
        """Note a failure; returns the time of the next try, `least` from now or later."""
        known = self._failing.get(key)
        failures = known.failures + 1 if known is not None else 1
        wait = min(self._timing.longest, self._timing.first * 2 ** min(failures - 1, 30))
        until = Seconds(now + max(wait, least))
        self._failing[key] = _Failing(failures, until)
        return until

    def succeeded(self, key: K) -> None:
        """Forget a key's failures; also where what is tried has changed."""
        self._failing.pop(key, None)

    def retain(self, keys: Collection[K]) -> None:
        """Forget all other keys: nobody wants them any more."""
        self._failing = {key: failing for key, failing in self._failing.items() if key in keys}

    def until(self, key: K) -> Seconds | None:
        """When the key may be tried again; None when it never failed."""
        known = self._failing.get(key)
        return known.until if known is not None else None

    def waits(self, key: K, now: float) -> bool:
        """Whether it is too early to try the key again."""
        known = self._failing.get(key)
        return known is not None and now < known.until

    def due(self, now: float) -> frozenset[K]:
        """The keys that failed and may be tried again now."""
        return frozenset(key for key, failing in self._failing.items() if failing.until <= now)

    def next(self, now: float) -> Seconds | None:
        """When the next one that waits may be tried; None where none waits."""
        return min((failing.until for failing in self._failing.values() if failing.until > now), default=None)
