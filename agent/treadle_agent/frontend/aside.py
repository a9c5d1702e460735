"""A process for what takes long with large bodies: whatever they hold, the event loop goes on.

A thread would not do. What Python computes, it computes with the interpreter's lock held; and a thread that has it for
moments only may lose the processor in one of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from treadle_agent import heap
from treadle_agent.endings import at_its_end
from treadle_agent.frontend.errors import BadRequestError, NotReadError, TooLargeError
from treadle_agent.frontend.line import Line
from treadle_agent.program import forkserver
from treadle_callers.turns import Turns

MOST_WAITING = 256 << 20  # bytes of the bodies of requests that wait: each is in memory as a whole
# The process runs when nobody else wants the processor (SCHED_IDLE), and is interrupted at once when somebody does: by
# a nice value alone it would keep it for some milliseconds more. Where all processors are busy it would hardly run.
SPARE_SECONDS = 2.0  # for one body: the largest takes a second
HURRIED_SECONDS = 60.0  # afterwards a process of an ordinary share does it, and for so long
NICENESS = 5  # of that: large requests give way to what the tenants run
PATIENCE = 30.0  # seconds for one then: a process that takes longer hangs, and is replaced

Work = Callable[..., bytes | bytearray | memoryview]
"""A function of a module's: from a body, and arguments of plain types. Raises the errors in `ERRORS`, and no others."""

ERRORS = {kind.__name__: kind for kind in (BadRequestError, TooLargeError)}

_encode = msgspec.msgpack.Encoder().encode
_decode_order = msgspec.msgpack.Decoder(tuple[str, list[Any]]).decode
_decode_verdict = msgspec.msgpack.Decoder(tuple[str, str]).decode


class Aside:
    """The process, started by the first large body; it does one thing at a time, for each tenant in turn."""

    def __init__(self, works: Mapping[str, Work]) -> None:
        self._works = dict(works)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")  # waits for the process
        self._turns = Turns(1, MOST_WAITING)
        self._hurried_until = 0.0  # of CLOCK_MONOTONIC; the thread's alone
        self._lock = threading.Lock()  # for the three below
        self._process: BaseProcess | None = None
        self._line: Line | None = None
        self._closed = False

    async def ask(
        self, work: str, body: bytes | memoryview, *arguments: object, tenant: str, size: int,
        patience: float | None = None,
    ) -> memoryview:  # fmt: skip
        """What a work makes of a body. Who is cancelled meanwhile keeps its turn, and its body, until that is done.

        Args:
            work: one of `works`.
            body: what it is done with.
            arguments: the work's other ones.
            tenant: whose it is; tenants take turns.
            size: bytes of what is kept in memory meanwhile.
            patience: seconds that it may wait for its turn; None: any.

        Raises:
            NoTurnError: too much waits.
            TimeoutError: its turn did not come in time.
            NotReadError: the process has ended.
            RequestError: one of `ERRORS`, by the work.
        """
        async with asyncio.timeout(patience) as waiting, self._turns.turn(tenant, size):
            waiting.reschedule(None)
            if self._closed:
                raise _ended()
            order = _encode((work, arguments))
            asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, order, body)
            return await at_its_end(asking)

    def close(self) -> None:
        """End the process; who waits for it gets NotReadError."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            if self._line is not None:
                self._line.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, order: bytes, body: bytes | memoryview) -> memoryview:
        now = time.monotonic()
        if self._hurried_until and now > self._hurried_until:
            self._drop()
            self._hurried_until = 0.0
        if not self._hurried_until:
            try:
                return self._exchange(order, body, SPARE_SECONDS)
            except TimeoutError:
                self._hurried_until = now + HURRIED_SECONDS
        try:
            return self._exchange(order, body, PATIENCE)
        except TimeoutError:
            raise _ended() from None

    def _exchange(self, order: bytes, body: bytes | memoryview, seconds: float) -> memoryview:
        """What the process makes of it; raises TimeoutError, and NotReadError: then it is gone."""
        try:
            line = self._line or self._start()
            line.allow(seconds)
            line.send(order)
            line.send(body)
            error, message = _decode_verdict(line.receive())
            if error:
                raise ERRORS[error](message)
            return line.receive()
        except TimeoutError:
            self._drop()
            raise
        except (EOFError, OSError):
            self._drop()
            raise _ended() from None

    def _start(self) -> Line:
        ours, theirs = socket.socketpair()
        arguments = (theirs, self._works, bool(self._hurried_until))
        process = forkserver.context().Process(target=serve, args=arguments, name="treadle-aside", daemon=True)
        with self._lock, theirs:
            if self._closed:
                ours.close()
                raise EOFError
            forkserver.start(process)
            self._process = process
            self._line = line = Line(ours)
        return line

    def _drop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is not None:
            process.kill()  # multiprocessing reaps it when the next one starts: it may take its time to end


def _ended() -> NotReadError:
    return NotReadError("the process that reads large requests has ended; try again")


def serve(connection: socket.socket, works: Mapping[str, Work], hurried: bool) -> None:  # noqa: FBT001 - a process's
    """Entry of the process: do one thing after another."""
    forkserver.follow_parent()
    if hurried:
        os.nice(NICENESS)
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    heap.keep_freed()
    heap.small_pages()
    gc.disable()  # nested values are lists by the million, without a cycle; the search took two thirds of the time
    line = Line(connection)
    while True:
        try:
            work, arguments = _decode_order(line.receive())
            body = line.receive()
        except EOFError:
            return  # whoever asked is gone
        try:
            made = works[work](body, *arguments)
        except tuple(ERRORS.values()) as error:
            line.send(_encode((type(error).__name__, str(error))))
        else:
            line.send(_encode(("", "")))
            line.send(made)
            del made
        del body
