"""The front end: one HTTP server for all tenants of a node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import hdrs, web

from treadle_agent.frontend import health, timeline
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import NotFoundError, RequestError
from treadle_agent.frontend.forwarding import Forwarder
from treadle_agent.frontend.gate import Gate
from treadle_agent.frontend.guard import Guard
from treadle_agent.frontend.inference import Inference
from treadle_agent.frontend.reply import Reply, compress, error_reply
from treadle_agent.frontend.routes import Resource, Route, resolve
from treadle_agent.frontend.scrape import Scrape
from treadle_agent.frontend.server import Server
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.site import Site
from treadle_agent.frontend.tls import HANDSHAKE_SECONDS, Tls
from treadle_agent.frontend.turn import TurnLength
from treadle_callers.callers import Reviewer
from treadle_callers.settings import GuardSettings


class FrontEnd:
    """Serves the Open Inference Protocol v2, health and metrics; lives on one event loop (uvloop is twice as fast).

    While another process answers for its node it is not `on_duty`: what comes is answered, but it is not ready.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        settings: FrontEndSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs before `start`; `sites`: one a device; `clock` must be the gateways' CLOCK_MONOTONIC."""
        self._settings = settings or FrontEndSettings()
        self._sites = sites
        self._clock = clock
        self._directory = Directory(sites, clock)
        self._turn = TurnLength()
        self._gate = Gate(self._directory, self._turn)
        self._forwarder = Forwarder(clock)
        self._inference = Inference(self._directory, self._forwarder, self._settings, self._turn, clock)
        self._scrape = Scrape(sites, self._directory, self._settings.statistics_timeout)
        self.on_duty = True
        self._guard: Guard | None = None
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._draining = False
        self._hurried = False
        self._in_flight = 0
        self._idle = asyncio.Event()

    def protect(self, reviewer: Reviewer, settings: GuardSettings) -> None:
        """Ask who calls, from now on: without it everybody may do everything."""
        self._guard = self._gate.guard = Guard(reviewer, self._directory, settings, self._clock)

    async def start(self, host: str | None, port: int, tls: Tls | None = None) -> int:
        """Listen, without a host on all interfaces; port 0 takes a free one. Returns the port.

        With `tls` both ways: what comes, and what is passed on.

        Raises:
            OSError: the address cannot be used.
        """
        self._server = Server(self._handle, self._settings, self._gate.refusal)
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if tls is not None:
            secured = {"ssl": tls.server, "ssl_handshake_timeout": HANDSHAKE_SECONDS}
            self._forwarder.tls = tls
            self._renewing = asyncio.create_task(tls.run(), name="tls")
        self._listener = await loop.create_server(self._server, host, port, backlog=1024, **secured)
        self._turn.start()
        return int(self._listener.sockets[0].getsockname()[1])

    async def drain(self) -> None:
        """Report not ready, close connections as their requests end, and wait until all accepted requests have ended,
        at most `drain_timeout`, or until `hurry`. Requests that still come are answered.
        """
        self._draining = True
        if self._in_flight and not self._hurried:
            self._idle.clear()
            try:
                async with asyncio.timeout(self._settings.drain_timeout):
                    await self._idle.wait()
            except TimeoutError:
                pass

    def hurry(self) -> None:
        """Wait for no request any more, in `drain` and in `stop`: those under way are given up."""
        self._hurried = True
        self._idle.set()

    async def stop(self) -> None:
        """Stop listening, let accepted requests end as `drain` does, and close all connections."""
        if self._listener is not None:
            self._listener.close()
        await self.drain()
        if self._server is not None:
            self._server.pre_shutdown()
            # For responses that are being written; 0 would mean for ever.
            await self._server.shutdown(timeout=0.01 if self._hurried else 1.0)
        self._inference.close()
        await self._forwarder.close()
        if self._renewing is not None:
            self._renewing.cancel()
        if self._guard is not None:
            await self._guard.close()
        self._turn.stop()

    async def _handle(self, request: web.BaseRequest) -> Reply:
        self._in_flight += 1
        came = self._clock()
        model = ""
        try:
            route = resolve(request.raw_path, request.method)
            if self._guard is not None:
                route = await self._guard.admit(route, request.headers, request.remote or "")
            model = route.model
            if route.resource is Resource.INFER:
                reply = await self._inference.infer(request, route.model, route.version, came)
            else:
                reply = await self._inform(request, route)
        except RequestError as error:
            reply = error_reply(error)
            if error.abort:
                reply.close_after(abort=True)
        finally:
            self._in_flight -= 1
            if self._draining and not self._in_flight:
                self._idle.set()
        if self._draining or not request.content.is_eof() or (self._directory.leaving and self._leaves(model)):
            reply.close_after()
        reply.write_timeout = self._settings.body_timeout
        return reply

    def _leaves(self, model: str) -> bool:
        """Whether a tenant leaves this node: its clients should come to know its other replicas."""
        return self._directory.move(model) is not None

    async def _inform(self, request: web.BaseRequest, route: Route) -> Reply:
        match route.resource:
            case Resource.LIVE:
                return health.live()
            case Resource.READY:
                loaded = all(site.catalog.ready for site in self._sites)
                return health.ready(is_ready=loaded and self.on_duty and not self._draining)
            case Resource.SERVER:
                return Reply(health.SERVER_METADATA)
            case Resource.MODEL:
                return Reply(self._directory.contract(route.model, route.version).metadata)
            case Resource.MODEL_READY:
                if self._directory.leaving and self._leaves(route.model):
                    return health.ready(is_ready=False)
                contract = self._directory.contract(route.model, route.version)  # raises where it is not served
                return health.ready(is_ready=not contract.gateway.fault(contract.served))
            case Resource.METRICS:
                reply = await self._scrape.reply(request.headers.get(hdrs.ACCEPT, ""))
                await compress(reply, request.headers.get(hdrs.ACCEPT_ENCODING, ""))
                return reply
            case Resource.TIMELINE:
                reply = await timeline.record(request, self._sites)
                await compress(reply, request.headers.get(hdrs.ACCEPT_ENCODING, ""))
                return reply
            case _:
                raise NotFoundError("there is nothing here")
