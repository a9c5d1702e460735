"""Benchmarks that start servers: an interrupt or SIGTERM ends them, and what they started."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine

INTERRUPTED = 130  # as shells report SIGINT


def run_until_interrupted(work: Coroutine[object, object, int]) -> int:
    """The exit code of `work`, or `INTERRUPTED` once it has cleaned up after a signal."""
    try:
        return asyncio.run(_cancellable(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


async def _cancellable(work: Coroutine[object, object, int]) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
