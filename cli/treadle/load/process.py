"""The generator as a process of its own, so that neither it nor the server's event loop delays the other unseen."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Self

import msgspec
import numpy as np
import uvloop

from treadle.load.client import Client
from treadle.load.records import Batch, to_records
from treadle.load.schedule import Schedule
from treadle.load.targets import Target, loopback

_LENGTH = struct.Struct("<I")
_FLUSH_SECONDS = 0.1
_LEAD_SECONDS = 0.02  # between the start signal and the first request
_GO = b"g"


class GeneratorError(RuntimeError):
    """Raised when the generator process ends before its run does."""


class _Plan(msgspec.Struct):
    host: str
    port: int
    connections: int
    grace: float
    keep_body: bool
    times: bytes
    target_of: bytes
    seconds: float
    targets: tuple[Target, ...]


class _Ready(msgspec.Struct, tag="ready"):
    error: str = ""


class _Begun(msgspec.Struct, tag="begun"):
    start: float


class _Rows(msgspec.Struct, tag="rows"):
    rows: bytes
    tiers: tuple[str, ...]
    bodies: tuple[bytes, ...]


class _Ended(msgspec.Struct, tag="ended"):
    cpu_seconds: float
    wall_seconds: float


_Frame = _Ready | _Begun | _Rows | _Ended


class LoadProcess:
    """One run of a schedule against `base_url`.

    Example::

        async with LoadProcess(targets, schedule, "http://127.0.0.1:8080") as run:
            async for batch in run:  # starts the load; batches come several times a second
                ...

    Entering starts the process and opens its connections (GeneratorError when the server does not answer);
    raises NotLoopbackError for a URL elsewhere. Leaving early ends the process.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        schedule: Schedule,
        base_url: str,
        *,
        connections: int = 1024,
        grace: float = 2.0,
        keep_body: bool = False,
    ) -> None:
        """`connections`: most requests under way at once, which must be far more than a server answers within a
        deadline: what waits for a connection is overload that the server cannot see. `grace`: seconds to wait for
        answers after the last request.
        """
        host, port = loopback(base_url)
        if len(schedule) and int(schedule.targets.max()) >= len(targets):
            raise ValueError(f"the schedule asks target {schedule.targets.max()}, there are {len(targets)}")
        times = schedule.times.astype("<f8").tobytes()
        target_of = schedule.targets.astype("<i4").tobytes()
        self._plan = _Plan(
            host, port, connections, grace, keep_body, times, target_of, schedule.seconds, tuple(targets)
        )
        self._decoder = msgspec.msgpack.Decoder(_Frame)
        self._process: asyncio.subprocess.Process | None = None
        self.started = float("nan")  # CLOCK_MONOTONIC of the schedule's zero
        self.cpu_seconds = float("nan")  # the generator's own, known when the run has ended
        self.wall_seconds = float("nan")

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert self._process.stdin is not None
            plan = msgspec.msgpack.encode(self._plan)
            self._process.stdin.write(_LENGTH.pack(len(plan)) + plan)
            await self._process.stdin.drain()
            ready = await self._read()
        except BaseException:
            await self.__aexit__()
            raise
        if not isinstance(ready, _Ready) or ready.error:
            await self.__aexit__()
            raise GeneratorError(f"http://{self._plan.host}:{self._plan.port}: {getattr(ready, 'error', ready)}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(_GO)
        while True:
            match await self._read():
                case _Begun(start):
                    self.started = start
                case _Rows(rows, tiers, bodies):
                    yield Batch(to_records([rows]), tiers, bodies)
                case _Ended(cpu_seconds, wall_seconds):
                    self.cpu_seconds, self.wall_seconds = cpu_seconds, wall_seconds
                    return
                case other:
                    raise GeneratorError(f"the load generator said {other!r} during the run")

    async def _read(self) -> _Frame:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            (length,) = _LENGTH.unpack(await self._process.stdout.readexactly(_LENGTH.size))
            frame: _Frame = self._decoder.decode(await self._process.stdout.readexactly(length))
        except asyncio.IncompleteReadError:
            code = await self._process.wait()
            raise GeneratorError(f"the load generator ended early with exit status {code}") from None
        return frame


def _write(stream: BinaryIO, frame: _Frame) -> None:
    data = msgspec.msgpack.encode(frame)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


async def _generate(plan: _Plan, output: BinaryIO) -> None:
    schedule = Schedule(np.frombuffer(plan.times, "<f8"), np.frombuffer(plan.target_of, "<i4"), plan.seconds)
    client = Client(plan.targets, schedule, plan.host, plan.port, keep_body=plan.keep_body)
    with ThreadPoolExecutor(1) as writer:  # a parent that reads slowly must not delay the load

        def flush() -> None:
            rows, tiers, bodies = client.take()
            if rows:
                writer.submit(_write, output, _Rows(b"".join(rows), tiers, bodies))

        async def flush_often() -> None:
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                flush()

        try:
            await client.connect(plan.connections)
        except OSError as error:
            writer.submit(_write, output, _Ready(str(error)))
            return
        writer.submit(_write, output, _Ready())
        if await asyncio.to_thread(sys.stdin.buffer.read, 1) != _GO:
            return  # the parent has gone
        gc.freeze()
        begin, cpu = time.monotonic() + _LEAD_SECONDS, time.process_time()
        writer.submit(_write, output, _Begun(begin))
        flusher = asyncio.get_running_loop().create_task(flush_often())
        await client.run(begin, plan.grace)
        flusher.cancel()
        flush()
        writer.submit(_write, output, _Ended(time.process_time() - cpu, time.monotonic() - begin))


def allow_many_files() -> None:
    """Raise this process's (and its children's) limit on open files as far as it may: one for each connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Read a plan and a start signal from standard input; write frames to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a run ends
    allow_many_files()
    (length,) = _LENGTH.unpack(sys.stdin.buffer.read(_LENGTH.size))
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(length), type=_Plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_generate(plan, sys.stdout.buffer))


if __name__ == "__main__":
    main()
