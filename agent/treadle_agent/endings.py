"""Waiting for what cannot be broken off in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def at_its_end(work: asyncio.Future[T], give_up: Callable[[], object] | None = None) -> T:
    """What comes of `work`. Who is cancelled meanwhile calls `give_up`, and waits all the same until it has ended.

    So what is held around this call, a turn or memory, is held for as long as the work goes on.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if give_up is not None:
            give_up()
        await asyncio.gather(work, return_exceptions=True)
        raise
