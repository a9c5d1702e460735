"""A proxy that reads what passes between a program and the API server, and can interfere with single requests."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from bed.addresses import LOOPBACK

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ACTION = 10.0  # seconds until an action must have been carried out
_HOP = frozenset({"host", "transfer-encoding", "content-length", "content-encoding", "connection"})

Interfere = Callable[[str, str], int | None]
"""From a request's method and its path with its query to an HTTP status to answer it with; None: it passes."""


def is_write(method: str, path: str) -> bool:
    """Whether a request writes anything but a Lease."""
    return method in WRITES and "/leases" not in path


class ApiProxy:
    """Plain HTTP to TLS. `before` may answer in the API server's place; `after` is told when an answer is there.

    Both run before the program hears anything of it.
    """

    def __init__(self, server: str, authority: Path, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self.before: Interfere = lambda _method, _path: None
        self.after: Callable[[str, str, int], None] = lambda _method, _path, _status: None
        self.requests: list[tuple[str, str, int]] = []
        self._server = server
        self._authority = authority
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="API proxy", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ACTION)
        self._loop.close()

    def writes(self) -> list[tuple[str, str, int]]:
        """The requests so far that wrote anything but Leases: method, path, status."""
        return [request for request in self.requests if is_write(*request[:2])]

    async def _start(self) -> None:
        context = ssl.create_default_context(cafile=str(self._authority))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), auto_decompress=False
        )
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port).start()

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0.1)  # aiohttp closes TLS connections a few turns of the loop later, and tells nobody
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        if (status := self.before(request.method, request.path_qs)) is not None:
            return web.json_response({"kind": "Status", "message": "the test's proxy", "code": status}, status=status)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        answer = await self._session.request(
            request.method,
            self._server + request.raw_path,
            headers=headers,
            data=await request.read() or None,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        async with answer:
            first = b"" if _is_watch(request) else await answer.read()
            self.requests.append((request.method, request.path_qs, answer.status))
            self.after(request.method, request.path_qs, answer.status)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if "Content-Encoding" in answer.headers:
                kept["Content-Encoding"] = answer.headers["Content-Encoding"]
            response = web.StreamResponse(status=answer.status, headers=kept)
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write(first)
                if _is_watch(request):
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                await response.write_eof()
            return response

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(_ACTION)


def _is_watch(request: web.Request) -> bool:
    return request.query.get("watch") in {"true", "1"}
