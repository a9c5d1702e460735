"""Who may load: a few tenants at a time, in the order in which they asked."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class LoadTurns:
    """A few turns at a time. Who has had one for `long` seconds gives it, between two steps, to those who wait."""

    def __init__(self, at_a_time: int, long: float) -> None:
        self.free = asyncio.Semaphore(at_a_time)
        self.long = long

    def turn(self) -> LoadTurn:
        """One tenant's: ``async with`` it."""
        return LoadTurn(self)


class LoadTurn:
    """One tenant's turn, from the front of the line to its end."""

    def __init__(self, turns: LoadTurns) -> None:
        self._turns = turns
        self._since: float | None = None  # none: it waits

    async def __aenter__(self) -> Self:
        await self._take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._since is not None:
            self._turns.free.release()

    async def give_way(self) -> None:
        """Go to the end of the line, if this turn has been a long one and others wait."""
        turns, since = self._turns, self._since
        assert since is not None
        if asyncio.get_running_loop().time() - since >= turns.long and turns.free.locked():
            self._since = None
            turns.free.release()
            await self._take()

    async def _take(self) -> None:
        await self._turns.free.acquire()
        self._since = asyncio.get_running_loop().time()
