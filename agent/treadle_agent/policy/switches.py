"""Changes of a tenant's tier, counted by direction and reason."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from itertools import product


class Direction(StrEnum):
    """Which way: to a more, or to a less accurate tier."""

    UP = "up"
    DOWN = "down"


class Reason(StrEnum):
    """Why."""

    ROOM = "room"  # a more accurate tier fits with room to spare
    BACKLOG = "backlog"  # with the present tier, what waits would be late
    SLACK = "slack"  # the present tier alone takes longer than the request has left
    RATE = "rate"  # the estimated rate calls for it (Algorithm 1)


# All that tenants' policies can leave, however seldom: a count that begins at one is no increase to who sums them up.
_FROM_ZERO = tuple(product(Direction, (Reason.ROOM, Reason.BACKLOG, Reason.SLACK)))


class Switches:
    """A tenant's. `reason`: why its policy last chose otherwise than the current tier."""

    __slots__ = ("counts", "reason")

    def __init__(self) -> None:
        self.reason = Reason.BACKLOG
        self.counts: Counter[tuple[Direction, Reason]] = Counter(dict.fromkeys(_FROM_ZERO, 0))

    def count(self, direction: Direction) -> None:
        """The tenant switched, for the reason that was left."""
        self.counts[direction, self.reason] += 1

    def by_name(self) -> dict[str, int]:
        """The counts by ``DIRECTION/REASON``."""
        return {f"{way}/{reason}": count for (way, reason), count in self.counts.items()}

    def total(self, direction: Direction) -> int:
        """Switches of a direction, for any reason."""
        return sum(count for (way, _), count in self.counts.items() if way is direction)
