"""One executor process, from start to end: nothing of it is left once `wait` has returned."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Self

from treadle_agent.executor.channel import FrontEndChannel
from treadle_agent.executor.protocol import ToFrontEnd
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program import forkserver

WorkerMain = Callable[[socket.socket, SharedMemory, WorkerSettings], None]
LINGER = 2.0  # seconds a process may take to end after it closed its channel, or after it was asked to


def _run(main: WorkerMain, connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    forkserver.follow_parent()
    main(connection, memory, settings)


class ExecutorProcess:
    """A running process and its channel. Made by `start`."""

    channel: FrontEndChannel

    def __init__(self, process: BaseProcess, pidfd: int) -> None:
        self.pid = process.pid
        self._process = process
        self._pidfd = pidfd
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._silent: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._on_exit)

    @classmethod
    async def start(
        cls,
        main: WorkerMain,
        memory: SharedMemory,
        settings: WorkerSettings,
        on_messages: Callable[[list[ToFrontEnd]], None],
    ) -> Self:
        """Start a process that runs `main` (a function of an importable module); raises OSError, EOFError."""
        here, there = socket.socketpair()
        try:
            process = await asyncio.to_thread(_start, main, there, memory, settings)
            assert process.pid is not None
            executor = cls(process, os.pidfd_open(process.pid))
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        executor.channel = await FrontEndChannel.connect(here, on_messages, executor._on_silence)
        return executor

    def kill(self) -> None:
        """SIGKILL; `wait` tells when it has happened."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def hang_up(self) -> None:
        """Close the channel: the process ends by itself, or is killed."""
        self.channel.close()
        self._on_silence()

    async def wait(self) -> int:
        """Until the process is dead and all it said was heard; then its exit code, negative for a signal."""
        await asyncio.wait((self._exited, self._silent), return_when=asyncio.FIRST_COMPLETED)
        # One of the two follows the other at once, unless the process is broken or left a child with its socket.
        await asyncio.wait((self._exited,), timeout=LINGER)
        self.kill()
        await self._exited
        await asyncio.wait((self._silent,), timeout=LINGER)
        self.channel.close()
        await asyncio.to_thread(self._process.join)
        code = self._process.exitcode
        self._process.close()
        os.close(self._pidfd)
        assert code is not None
        return code

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._exited.set_result(None)

    def _on_silence(self) -> None:
        if not self._silent.done():
            self._silent.set_result(None)


def _start(main: WorkerMain, there: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> BaseProcess:
    process = forkserver.context().Process(target=_run, args=(main, there, memory, settings), name="treadle-executor")
    forkserver.start(process)
    return process
