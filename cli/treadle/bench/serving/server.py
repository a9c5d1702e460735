"""A server under test: a process tree, started, waited for, checked, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import numpy as np

from treadle.bench.processes import Usage, usage
from treadle.bench.serving.deployment import Deployment
from treadle.bench.serving.workload import Workload
from treadle.load.targets import Target, infer_target

_START_SECONDS = 60.0  # for each tenant
_SETTLE_SECONDS = 20.0
_STOP_SECONDS = 10.0
_LOG_TAIL = 2000  # characters
_OK = 200
_QUICK_ANSWERS = 3
QUICK_SECONDS = 0.05  # more than any model of `serving` takes alone, except on a slow machine
_AT_REST = 3.0  # times what an answer took when nothing else was asked: what settled servers never take


class _Tensor(msgspec.Struct):
    shape: list[int]
    data: list[float]


class _Answer(msgspec.Struct):
    outputs: list[_Tensor]


_decoder = msgspec.json.Decoder(_Answer)


class ServerError(RuntimeError):
    """Raised when a server does not start, dies, or answers wrongly."""


class RunningServer:
    """One server process tree on loopback."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._process = process
        self._log = log
        self._at_rest = 0.0  # seconds an answer took when all were ready

    def usage(self) -> Usage:
        """CPU time and memory of the whole tree; raises ServerError when the server has died."""
        try:
            return usage(self._process.pid)
        except ProcessLookupError:
            raise self._error("died") from None

    async def wait_until_ready(self, workload: Workload) -> None:
        """Return when every tenant answers as ONNX Runtime does; notes how long an answer takes then."""
        self._at_rest = 0.0
        async with aiohttp.ClientSession(self.url) as session:
            for tenant in workload.models:
                bound = time.monotonic() + _START_SECONDS
                target = infer_target(tenant, workload.inputs[:1], binary=False)
                while (answer := await self._ask(session, target)) is None:
                    if time.monotonic() > bound:
                        raise self._error(f"was not ready for tenant {tenant} after {_START_SECONDS:.0f} s")
                    await asyncio.sleep(0.1)
                for tensor, expected in zip(answer.outputs, workload.expected(tenant), strict=True):
                    given = np.array(tensor.data, expected.dtype).reshape(tensor.shape)
                    if given.shape != expected.shape or not np.allclose(given, expected, rtol=1e-3, atol=1e-4):
                        raise self._error(f"answers tenant {tenant} wrongly: {given} instead of {expected}")
                self._at_rest = max(self._at_rest, await self._quickest(session, target))

    async def settle(self, target: Target, within: float = QUICK_SECONDS) -> None:
        """Wait until what an earlier run left behind is done: three answers in a row within so many seconds, or within
        a few times what one took at rest, where this machine is too slow for them.
        """
        within = max(within, _AT_REST * self._at_rest)
        bound, quick = time.monotonic() + _SETTLE_SECONDS, 0
        async with aiohttp.ClientSession(self.url) as session:
            while quick < _QUICK_ANSWERS:
                if time.monotonic() > bound:
                    raise self._error(f"had not come to rest {_SETTLE_SECONDS:.0f} s after a run")
                begin = time.monotonic()
                answer = await self._ask(session, target)
                quick = quick + 1 if answer is not None and time.monotonic() - begin < within else 0
                await asyncio.sleep(0.02)

    async def merges(self) -> tuple[float, float]:
        """Problems and launches so far, from treadle's metrics; zeros for other servers."""
        async with aiohttp.ClientSession(self.url) as session, session.get("/metrics") as response:
            text = await response.text() if response.status == _OK else ""
        return _total(text, "treadle_super_kernel_problems_sum"), _total(text, "treadle_super_kernel_problems_count")

    async def _quickest(self, session: aiohttp.ClientSession, target: Target) -> float:
        took = []
        for _ in range(_QUICK_ANSWERS):
            begin = time.monotonic()
            await self._ask(session, target)
            took.append(time.monotonic() - begin)
        return min(took)

    async def _ask(self, session: aiohttp.ClientSession, target: Target) -> _Answer | None:
        """The answer to the first variant (without outputs where it is binary), or None while there is none."""
        if self._process.returncode is not None:
            raise self._error(f"ended with exit status {self._process.returncode}")
        variant = target.variants[0]
        headers = dict(line.split(": ", 1) for line in variant.head.decode().splitlines())
        try:
            async with session.post(target.path, data=variant.body, headers=headers) as response:
                body = await response.read()
                if response.status != _OK:
                    return None
                return _decoder.decode(body) if response.content_type == "application/json" else _Answer([])
        except aiohttp.ClientConnectionError:
            return None

    def _error(self, what: str) -> ServerError:
        text = self._log.read_text(errors="replace").strip()[-_LOG_TAIL:]
        return ServerError(f"{self.name} {what}; the end of its log:\n{text}")


@contextlib.asynccontextmanager
async def running(name: str, deployment: Deployment, folder: Path) -> AsyncIterator[RunningServer]:
    """Start a server in a session of its own, so that Ctrl-C reaches it through us; stop all of it at the end."""
    log = folder / "server.log"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **deployment.environment}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *deployment.command, stdout=output, stderr=output, stdin=asyncio.subprocess.DEVNULL,
            env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield RunningServer(name, process, deployment.port, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def free_ports() -> tuple[int, int]:
    """Two ports of loopback that nobody listens on now."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _total(text: str, family: str) -> float:
    lines = (line for line in text.splitlines() if line.startswith((family + " ", family + "{")))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
