"""Tenants by a moment, soonest first."""

from __future__ import annotations

from bisect import bisect_left, insort

from treadle_agent.policy.queues import FOREVER


class Agenda:
    """A moment for each of some tenants.

    A sorted list, not a heap: it is walked in order, any entry may move, and moving a thousand pointers takes less
    time than three steps of Python.
    """

    __slots__ = ("_entries", "_entry")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []
        self._entry: dict[int, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, tenant: int, moment: float) -> None:
        """Note a tenant's moment in place of the one it had."""
        entries, before = self._entries, self._entry.get(tenant)
        if before is not None:
            if before[0] == moment:
                return
            del entries[bisect_left(entries, before)]
        entry = self._entry[tenant] = (moment, tenant)
        insort(entries, entry)

    def drop(self, tenant: int) -> None:
        """Forget a tenant, where it is known."""
        before = self._entry.pop(tenant, None)
        if before is not None:
            del self._entries[bisect_left(self._entries, before)]

    def moment(self, tenant: int) -> float:
        """A tenant's moment; infinite where none was put."""
        entry = self._entry.get(tenant)
        return FOREVER if entry is None else entry[0]

    @property
    def first(self) -> float:
        """The soonest moment; infinite without any."""
        return self._entries[0][0] if self._entries else FOREVER

    def soonest(self) -> tuple[float, int] | None:
        """The soonest (moment, tenant); None without any."""
        return self._entries[0] if self._entries else None

    def before(self, moment: float) -> list[tuple[float, int]]:
        """(moment, tenant) of those before a moment, soonest first; a copy."""
        return self._entries[: bisect_left(self._entries, (moment,))]  # a shorter tuple is less

    def until(self, now: float) -> list[int]:
        """The tenants whose moment is `now` or before."""
        return [tenant for _, tenant in self._entries[: bisect_left(self._entries, (now, FOREVER))]]
