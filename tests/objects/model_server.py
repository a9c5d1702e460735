"""An https server of models on loopback, with a certificate of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

import trustme
from aiohttp import web


class Server:
    """An https server whose answers a test chooses; keeps requests' paths and headers."""

    def __init__(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int = 0) -> None:
        """`port`: 0 for any."""
        self.handler = handler
        self.port = port
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._transports: set[asyncio.Transport] = set()
        self.authority = trustme.CA()
        self._server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._server_context)
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)

    async def __aenter__(self) -> Self:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self.requests.append(request.path)
            self.headers.append(dict(request.headers))
            assert request.transport is not None
            self._transports.add(request.transport)
            return await self.handler(request)  # type: ignore[arg-type]

        self._runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._server_context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"https://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Be away."""
        await self._runner.cleanup()
        for transport in self._transports:
            transport.abort()  # a client that is gone agrees on no end
        await asyncio.sleep(0.05)


@contextmanager
def in_a_thread(server: Server) -> Iterator[Server]:
    """The server, beside a test that has no event loop."""
    started, loop, end = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert started.wait(10), "it does not listen"
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
