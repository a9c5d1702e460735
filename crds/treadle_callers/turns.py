"""Turns at what few can have at a time, by owner: who asks for much delays itself, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from treadle_callers.fair_line import FairLine


class NoTurnError(Exception):
    """Raised when too much waits, and most of it is this owner's."""


class Turns:
    """Lets `at_once` go on, and what has `most` in all (each as large as it says) wait for that. Lives on one loop."""

    def __init__(self, at_once: int, most: int) -> None:
        self._free = at_once
        self._line = FairLine[asyncio.Future[None]](most)

    @asynccontextmanager
    async def turn(self, owner: str, size: int = 1) -> AsyncIterator[None]:
        """Have it meanwhile; raises NoTurnError."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(owner, size)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, owner: str, size: int) -> None:
        mine = asyncio.get_running_loop().create_future()
        for leaving in self._line.join(owner, mine, size):
            if not leaving.done():
                leaving.set_exception(NoTurnError())
        try:
            await mine
        except asyncio.CancelledError:
            self._line.leave(owner, mine)
            if mine.done() and not mine.cancelled() and mine.exception() is None:  # the turn came in the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while (following := self._line.take()) is not None:
            if not following.done():  # given up, and not gone yet
                following.set_result(None)
                return
        self._free += 1
