"""A bound on how often a thing is done."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from treadle_api.units import Seconds

K = TypeVar("K", bound=Hashable)


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
