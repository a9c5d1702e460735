"""Waiting longer after each failure, so that what cannot succeed is not tried in a storm."""

from __future__ import annotations

from collections.abc import Hashable
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

    def failed(self, key: K, now: Seconds, least: float = 0.0) -> Seconds:
        """Note a failure; returns the time of the next try, `least` from now or later."""
        known = self._failing.get(key)
        failures = known.failures + 1 if known is not None else 1
        wait = min(self._timing.longest, self._timing.first * 2 ** min(failures - 1, 30))
        until = Seconds(now + max(wait, least))
        self._failing[key] = _Failing(failures, until)
        return until

    def succeeded(self, key: K) -> None:
        """Forget a key's failures."""
        self._failing.pop(key, None)

    def retain(self, keys: frozenset[K]) -> None:
        """Forget all other keys: nobody wants them any more."""
        self._failing = {key: failing for key, failing in self._failing.items() if key in keys}

    def failures(self, key: K) -> int:
        """Failures since the last success."""
        known = self._failing.get(key)
        return known.failures if known is not None else 0

    def until(self, key: K) -> Seconds | None:
        """When the key may be tried again; None when it never failed."""
        known = self._failing.get(key)
        return known.until if known is not None else None

    def waits(self, key: K, now: Seconds) -> bool:
        """Whether it is too early to try the key again."""
        known = self._failing.get(key)
        return known is not None and now < known.until


class Pace(Generic[K]):
    """A bound on how often a key may be acted on, for faults that nobody foresaw: `burst` times, then once a `period`.

    Two who keep undoing each other's work would otherwise do so as fast as the API server allows.
    """

    def __init__(self, burst: int, period: Seconds) -> None:
        self._burst = burst
        self._period = period
        self._spent: dict[K, Seconds] = {}  # until when a key's credit is used up

    def took(self, key: K, now: Seconds) -> None:
        """The key was acted on."""
        self._spent[key] = Seconds(max(now, self._spent.get(key, now)) + self._period)

    def until(self, key: K, now: Seconds) -> Seconds:
        """When the key may be acted on; not after `now` when it may now."""
        return Seconds(self._spent.get(key, now) - (self._burst - 1) * self._period)

    def forget_idle(self, now: Seconds) -> None:
        """Drop the keys whose credit is whole again."""
        self._spent = {key: until for key, until in self._spent.items() if until > now}
