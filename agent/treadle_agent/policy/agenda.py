"""Tenants by a moment, soonest first."""

from __future__ import annotations

from bisect import bisect_left, insort

from treadle_agent.policy.queues import FOREVER


class Agenda:
    """A moment for each of some tenants.

    A sorted list, not a heap: it is walked in order, any entry may move, and moving a thousand pointers takes less
    time than three steps of Python.
    """

    __slots__ = ("_entries", "_moments")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []
        self._moments: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, tenant: int, moment: float) -> None:
        """Note a tenant's moment in place of the one it had."""
        before = self._moments.get(tenant)
        if before == moment:
            return
        if before is not None:
            del self._entries[bisect_left(self._entries, (before, tenant))]
        self._moments[tenant] = moment
        insort(self._entries, (moment, tenant))

    def drop(self, tenant: int) -> None:
        """Forget a tenant, where it is known."""
        before = self._moments.pop(tenant, None)
        if before is not None:
            del self._entries[bisect_left(self._entries, (before, tenant))]

    def moment(self, tenant: int) -> float:
        """A tenant's moment; infinite where none was put."""
        return self._moments.get(tenant, FOREVER)

    @property
    def first(self) -> float:
        """The soonest moment; infinite without any."""
        return self._entries[0][0] if self._entries else FOREVER

    def before(self, moment: float) -> list[tuple[float, int]]:
        """(moment, tenant) of those before a moment, soonest first; a copy."""
        return self._entries[: bisect_left(self._entries, (moment,))]  # a shorter tuple is less

    def until(self, now: float) -> list[int]:
        """The tenants whose moment is `now` or before."""
        return [tenant for _, tenant in self._entries[: bisect_left(self._entries, (now, FOREVER))]]
