"""A bounded queue for servers whose models run on the event loop. Imports nothing of treadle: MLServer's environment
has none.
"""

from __future__ import annotations

import asyncio
from collections import deque

_AT_ONCE = 16  # turns before the loop reads, and refuses, what has arrived meanwhile


class QueueFullError(Exception):
    """Raised when as many requests wait as may."""


class Turns:
    """Requests take turns in the order they came; at most `limit` wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._draining = False

    async def take(self) -> None:
        """Return when it is this request's turn; raises QueueFullError."""
        if len(self._waiting) >= self._limit:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._draining:
            self._draining = True
            loop.call_soon(self._drain, loop)
        await turn

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # its client may have gone
                turn.set_result(None)
        self._draining = bool(self._waiting)
        if self._draining:
            loop.call_soon(self._drain, loop)
