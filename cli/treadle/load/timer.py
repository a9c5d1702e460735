"""A wake-up with microsecond resolution: event loops round their timers to milliseconds, several times the latency
that is measured here.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """One timerfd(2) on an event loop; `fire` is called when the time set last has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[], None]) -> None:
        self._loop = loop
        self._fire = fire
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = (ctypes.c_long * 4)()  # struct itimerspec: interval, then value, each in s and ns
        loop.add_reader(self._fd, self._ready)

    def set(self, when: float) -> None:
        """Fire at `when`, in seconds of CLOCK_MONOTONIC (at once if it has passed)."""
        self._setting[2], self._setting[3] = int(when), max(1, int(when % 1 * 1e9))
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, self._setting, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        """Stop for good."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _ready(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set again between the wake-up and here
            return
        self._fire()
