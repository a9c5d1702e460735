"""Who attacks: a process that takes of the processors what nobody else wants, as if it were on another machine.

The server answers for what it does with what it is sent, not for the work of sending it: that would be done elsewhere.
A priority alone does not see to that. Where Linux groups processes by session (sched(7), "The autogroup feature"), each
session has an equal share, and nice values and SCHED_IDLE tell only those of one session apart; so an attacker has a
session of its own, of the lowest share. Other machines' bytes come through a network card, packet by packet: a kernel
that is never interrupted while it copies megabytes into a loopback connection is not the server's matter, either.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

Attack = Callable[[str, int, float], Awaitable[Counter[str]]]
"""Attacks host and port until a moment of CLOCK_MONOTONIC; counts what came back."""

AUTOGROUP = Path("/proc/self/autogroup")  # the nice value of this session
MARGIN_SECONDS = 30.0  # for what is under way when the time is over


class Attacker:
    """Runs one attack, as often and as long as it is told to."""

    def __init__(self, attack: Attack, host: str, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, attack, host, port), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        assert self._pipe.recv() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._process.kill()
        self._process.join()

    def begin(self, until: float) -> None:
        """Attack until then."""
        self._pipe.send(until)
        self._until = until

    def end(self) -> Counter[str]:
        """What came back."""
        assert self._pipe.poll(max(0.0, self._until - time.monotonic()) + MARGIN_SECONDS), "the attack does not end"
        counts: Counter[str] | BaseException = self._pipe.recv()
        if isinstance(counts, BaseException):
            raise counts
        return counts


def give_way() -> None:
    """Have this process, and what it starts, run when no other one wants to."""
    os.setsid()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if AUTOGROUP.exists():
        AUTOGROUP.write_text("19")


def _run(pipe: Connection, attack: Attack, host: str, port: int) -> None:
    give_way()
    asyncio.run(_attack(attack, host, port, 0.0))  # its time is over: what it prepares once is there
    pipe.send("ready")
    while True:
        until = pipe.recv()
        try:
            pipe.send(asyncio.run(_attack(attack, host, port, until)))
        except Exception as error:  # noqa: BLE001 - the test raises it
            pipe.send(error)


async def _attack(attack: Attack, host: str, port: int, until: float) -> Counter[str]:
    return await attack(host, port, until)
