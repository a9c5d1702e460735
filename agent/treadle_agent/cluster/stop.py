"""What signals ask of the agent: the first to leave the node in order, the second to go at once."""

from __future__ import annotations

import asyncio


class Stop:
    """`asked` is set by the first signal, `hurried` by the next one; lives on the event loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def signal(self) -> None:
        """A signal has come."""
        (self.hurried if self.asked.is_set() else self.asked).set()
