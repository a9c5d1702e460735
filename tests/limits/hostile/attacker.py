"""Who attacks: a process of its own, of a low priority, as if it came from another machine.

The server answers for what it does with what it is sent, not for the work of sending it, which would be done elsewhere.
An attacker that is to take of the processors only what nobody else wants is idle (SCHED_IDLE) among all whom it
attacks, in one control group (`hostile.queue`). A nice value would not do: whoever is nice keeps a processor for some
milliseconds after somebody else has come to want it. Nor would an idle control group: it has a turn of 3 ms whenever
the others, taken together, have had a little more than their share.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

Attack = Callable[[str, int, float], Awaitable[Counter[str]]]
"""Attacks host and port until a moment of CLOCK_MONOTONIC; counts what came back."""

MARGIN_SECONDS = 30.0  # for what is under way when the time is over


class Attacker:
    """Runs one attack, as often and as long as it is told to."""

    def __init__(self, attack: Attack, host: str, port: int, *, spare: bool = False) -> None:
        """`spare`: it takes only what nobody else wants."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, attack, host, port, spare), daemon=True)

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


def _run(pipe: Connection, attack: Attack, host: str, port: int, spare: bool) -> None:
    if spare:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
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
