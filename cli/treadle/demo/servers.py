"""The servers under load, as processes of their own: `treadle serve`, and plain ONNX Runtime to compare with."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import aiohttp
import msgspec

from treadle.demo.tenants import Tenant

STOP_SECONDS = 10.0  # a server's grace after SIGTERM
POLL_SECONDS = 0.1


class ServerError(RuntimeError):
    """Raised when a server ends or is not ready in time; the message holds the end of its log."""


class Server:
    """A server process on a free loopback port, whose output goes to `log`; ended when the context is left."""

    def __init__(self, arguments: Callable[[int], Sequence[str]], log: Path) -> None:
        """`arguments(port)` are the Python interpreter's."""
        self._port = _free_port()
        self._arguments = list(arguments(self._port))
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        with self.log.open("wb") as output:
            # A session of its own: a Ctrl-C at the terminal is the demo's to handle, which then ends this process.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, stdout=output, stderr=output, start_new_session=True
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def ready(self, tenants: Sequence[str], seconds: float, progress: Callable[[int], None]) -> None:
        """Wait until every tenant is ready, telling `progress` how many are; raises ServerError."""
        deadline = time.monotonic() + seconds
        missing = set(tenants)
        async with aiohttp.ClientSession() as session:
            while missing:
                # Asked first: once the server is ready, a tenant that is not has been refused.
                settled = await self._answers(session, "/v2/health/ready")
                for tenant in sorted(missing):
                    if await self._answers(session, f"/v2/models/{tenant}/ready"):
                        missing.discard(tenant)
                progress(len(tenants) - len(missing))
                if missing:
                    self._check(sorted(missing), settled=settled, late=time.monotonic() > deadline)
                    await asyncio.sleep(POLL_SECONDS)

    async def _answers(self, session: aiohttp.ClientSession, path: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(self.url + path) as response:
                return response.status == 200
        return False

    def _check(self, missing: Sequence[str], *, settled: bool, late: bool) -> None:
        assert self._process is not None
        if self._process.returncode is not None:
            raise ServerError(f"the server ended with exit status {self._process.returncode}; {self._tail()}")
        if settled:
            raise ServerError(f"the server refused {', '.join(missing)}; {self._tail()}")
        if late:
            raise ServerError(f"not ready in time: {', '.join(missing)}; {self._tail()}")

    def _tail(self) -> str:
        return f"its log {self.log} ends:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def treadle(tenants: Path, log: Path, trace: Path) -> Server:
    """`treadle serve` for the manifests in a folder; it leaves a timeline of its launches in `trace`."""
    return Server(
        lambda port: ["-m", "treadle", "serve", "-f", str(tenants), "--port", str(port), "--trace", str(trace)], log
    )


def plain_onnx_runtime(tenants: Sequence[Tenant], log: Path) -> Server:
    """What people run today: the benchmark's plain server, with each tenant's most accurate model.

    One compute thread, as treadle's executor has: first come, first served; nothing is batched, shed or switched.
    """
    models = log.with_suffix(".json")
    models.write_bytes(msgspec.json.encode({tenant.name: str(tenant.tiers[0].model) for tenant in tenants}))
    program = ["-m", "treadle.bench.peers.plain_server", "--threads", "1"]
    return Server(lambda port: [*program, "--models", str(models), "--port", str(port)], log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
