"""Waiting longer after each failure, so that what cannot succeed is not tried in a storm."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Failing:
    failures: int
    until: float


class Backoff:
    """Waits by key, in seconds: `first` after one failure, twice the last one after each more, at most `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failing: dict[str, _Failing] = {}

    def failed(self, key: str, now: float) -> float:
        """Note a failure; returns when to try again."""
        known = self._failing.get(key)
        failures = known.failures + 1 if known is not None else 1
        until = now + min(self._longest, self._first * 2.0 ** min(failures - 1, 30))
        self._failing[key] = _Failing(failures, until)
        return until

    def succeeded(self, key: str) -> None:
        """Forget a key's failures; also where what is tried has changed."""
        self._failing.pop(key, None)

    def retain(self, keys: Collection[str]) -> None:
        """Forget all other keys: nobody wants them any more."""
        self._failing = {key: failing for key, failing in self._failing.items() if key in keys}

    def waits(self, key: str, now: float) -> bool:
        """Whether it is too early to try a key again."""
        return (failing := self._failing.get(key)) is not None and now < failing.until

    def due(self, now: float) -> frozenset[str]:
        """The keys that failed and may be tried again now."""
        return frozenset(key for key, failing in self._failing.items() if failing.until <= now)

    def next(self, now: float) -> float | None:
        """When the next one that waits may be tried; None where none waits."""
        return min((failing.until for failing in self._failing.values() if failing.until > now), default=None)
