"""A body in the pieces it came in, and how it becomes one: no step of that takes long, however large it is."""

from __future__ import annotations

import asyncio

import numpy as np

STEP_BYTES = 262144  # copied, or freed, in one turn of the event loop


class Pieces:
    """What has come of a body."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0  # bytes

    def add(self, piece: bytes) -> None:
        """One more."""
        self._pieces.append(piece)
        self.size += len(piece)

    async def join(self) -> bytes | memoryview:
        """The body; the pieces are gone then."""
        if self.size <= STEP_BYTES:
            pieces, self._pieces = self._pieces, []
            return b"".join(pieces)
        whole = np.empty(self.size, np.uint8).data  # the only buffer of Python's that is not filled before
        self._pieces.reverse()
        done = 0
        while self._pieces:
            due = done + STEP_BYTES
            while self._pieces and done < due:
                piece = self._pieces.pop()
                whole[done : done + len(piece)] = piece
                done += len(piece)
            await asyncio.sleep(0)
        return whole

    def let_go(self) -> None:
        """Free them, some now and some in each turn of the loop to come."""
        freed = 0
        while self._pieces and freed < STEP_BYTES:
            freed += len(self._pieces.pop())
        if self._pieces:
            asyncio.get_running_loop().call_soon(self.let_go)
