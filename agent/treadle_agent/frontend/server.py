"""aiohttp's low-level server with two things added: a bound on connections, and JSON for malformed HTTP."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from treadle_agent.frontend.errors import BadRequestError, HeadTooLargeError, TooManyConnectionsError
from treadle_agent.frontend.reply import Reply, error_reply
from treadle_agent.frontend.settings import FrontEndSettings

_log = logging.getLogger(__name__)
STEP_BYTES = 16384  # of what may be malformed, for the parser at a time: it makes its complaint of all it is given
RESERVED_FILES = 256  # artifacts, pipes to processes, logs, and connections that are just being refused
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refusal = Callable[[bytes], bytes | None]


def connection_limit(wanted: int, open_files: int) -> int:
    """Connections that leave descriptors for everything else; `open_files` is the process's limit (-1: none).

    A server that has none left cannot even refuse.
    """
    return wanted if open_files < 0 else max(1, min(wanted, open_files - RESERVED_FILES))


class Connection(RequestHandler):
    """One client's connection. `refusal` may answer a whole request that arrives while the connection is idle."""

    __slots__ = ("_asked", "_malformed", "_refusal", "_server", "_torn")

    def __init__(self, manager: Server, refusal: Refusal, **options: Any) -> None:
        super().__init__(manager, **options)
        self._server = manager
        self._refusal = refusal
        self._asked = False  # a whole head has come
        self._torn = False  # part of a request's head has arrived
        self._malformed = False  # and is answered so: what follows is nothing

    def data_received(self, data: bytes) -> None:
        """Called by the loop: bytes arrived."""
        if not self._torn and self._is_idle() and (refusal := self._refusal(data)) is not None:
            assert self.transport is not None
            self.transport.write(refusal)
        else:
            self._parse(data)
            self._torn = self._is_idle()
        if not self._asked and not self._torn:
            self._asked = True
            self._server.heard_of(self)

    def _parse(self, data: bytes) -> None:
        request = self._current_request
        if len(data) <= STEP_BYTES or (request is not None and request.content_length is not None):
            steps = [data]
        else:
            steps = [data[begin : begin + STEP_BYTES] for begin in range(0, len(data), STEP_BYTES)]
        for step in steps:
            if self._malformed:
                break
            super().data_received(step)
            self._malformed = bool(self._messages) and isinstance(self._messages[-1][0], _ErrInfo)

    def _is_idle(self) -> bool:
        """No request is being read, handled or waiting."""
        return self._current_request is None and not self._messages

    def refuse(self) -> None:
        """Say that there are too many connections, and close this one."""
        if self.transport is not None:
            reply = error_reply(TooManyConnectionsError("too many connections"))
            self.transport.write(reply.head(close=True) + reply.content)
            self.transport.close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or a failure of the handler itself; the connection closes."""
        if status == 400:
            _log.debug("malformed request: %s", message)
            too_long = isinstance(exc, LineTooLong)
            reply = error_reply((HeadTooLargeError if too_long else BadRequestError)(f"malformed HTTP: {message}"))
        else:
            _log.error("request failed", exc_info=exc)
            reply = Reply(b'{"error":"internal error; the server\'s log has the details"}', status=status)
        reply.close_after()
        return reply


class Server(web.Server):
    """Makes connections, and counts them.

    Where there is one too many, the one that has been silent for longest gives way, of those that have never sent a
    whole head: who opens thousands and says nothing keeps nobody out.
    """

    def __init__(self, handler: Handler, settings: FrontEndSettings, refusal: Refusal) -> None:
        # A client that closes its connection cancels its request: nobody is left to answer.
        super().__init__(handler, handler_cancellation=True)
        self._settings = settings
        self._refusal = refusal
        self._count = 0
        self._silent: OrderedDict[RequestHandler, None] = OrderedDict()  # in the order in which they came
        self._most = connection_limit(settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def __call__(self) -> RequestHandler:
        """The protocol of a new connection."""
        limits = self._settings
        return Connection(
            self,
            self._refusal,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.keepalive_timeout,
            access_log=None,  # aiohttp's documented way to have none
            logger=_log,
            max_line_size=limits.max_header_bytes,
            max_field_size=limits.max_header_bytes,
            max_headers=limits.max_headers,
            auto_decompress=False,
            lingering_time=limits.lingering_time,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection; one too many, this or a silent one, is told so and closed."""
        super().connection_made(handler, transport)
        self._count += 1
        self._silent[handler] = None
        if self._count > self._most:
            leaving, _ = self._silent.popitem(last=False)
            assert isinstance(leaving, Connection)
            leaving.refuse()

    def heard_of(self, connection: Connection) -> None:
        """A connection has sent its first whole head."""
        self._silent.pop(connection, None)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._silent.pop(handler, None)
        self._count -= 1
