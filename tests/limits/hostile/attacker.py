"""Who attacks: a process of its own, of a low priority, as if it came from another machine.

The server answers for what it does with what it is sent, not for the work of sending it, which would be done elsewhere.
An attacker that is to take of the processors only what nobody else wants is in a control group that is idle: a nice
value would not do. It tells apart the processes of one session only, where Linux shares the processors out by sessions
(sched(7), "The autogroup feature"); and whoever is nice keeps a processor for some milliseconds after somebody else
has come to want it.
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

CONTROL_GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))  # version 1, version 2
AUTOGROUP = Path("/proc/self/autogroup")  # the nice value of this session
MARGIN_SECONDS = 30.0  # for what is under way when the time is over


class Attacker:
    """Runs one attack, as often and as long as it is told to."""

    def __init__(self, attack: Attack, host: str, port: int, group: str | None = None) -> None:
        """`group`: the control group of one that takes only what nobody else wants."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, attack, host, port, group), daemon=True)

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


def give_way(group: str) -> None:
    """Have this process run only while no other one wants to: in an idle control group of that name.

    Who may make none is in a session with the least share of the processors.
    """
    os.setsid()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    place = next(root for root in CONTROL_GROUPS if root.is_dir()) / group
    try:
        place.mkdir(exist_ok=True)
        (place / "cpu.idle").write_text("1")
        (place / "cgroup.procs").write_text(f"{os.getpid()}")
    except OSError:
        if AUTOGROUP.exists():
            AUTOGROUP.write_text("19")


def _run(pipe: Connection, attack: Attack, host: str, port: int, group: str | None) -> None:
    if group is None:
        os.nice(19)
    else:
        give_way(group)
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
