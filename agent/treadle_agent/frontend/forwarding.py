"""Requests for a tenant that has left, passed on to a replica that serves it elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

import aiohttp
import msgspec
from aiohttp import hdrs, web

from treadle_agent.frontend.body import Body
from treadle_agent.frontend.errors import ShedError
from treadle_agent.frontend.messages import RequestParameters
from treadle_agent.frontend.moves import Move
from treadle_agent.frontend.reply import HEADER_LENGTH, JSON, Reply
from treadle_agent.frontend.tls import Tls

HOPS = "Treadle-Hops"  # how often a request was passed on
ELAPSED = "Treadle-Elapsed"  # microseconds that it had spent before it was sent here: its deadline goes on
MOST_HOPS = 3  # replicas that point at each other must not play ball for ever
CONNECT_SECONDS = 1.0
GRACE = 0.5  # seconds after its deadline that a request's answer is waited for

_log = logging.getLogger(__name__)
# What concerns one connection only (RFC 9110, section 7.6.1), or what the client of the next one writes itself.
_NOT_FORWARDED = frozenset({
    "connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    HOPS.lower(), ELAPSED.lower(),
})  # fmt: skip
_PASSED_BACK = (HEADER_LENGTH, hdrs.CONTENT_ENCODING, hdrs.VARY, hdrs.RETRY_AFTER, hdrs.ALLOW, hdrs.WWW_AUTHENTICATE)
_UNREACHABLE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


class _Terms(msgspec.Struct):
    """What a request says of itself beside its tensors."""

    parameters: RequestParameters = RequestParameters()


_decode_terms = msgspec.json.Decoder(_Terms).decode


def elapsed(headers: Mapping[str, str]) -> float:
    """Seconds that a request had spent before it came here; 0 where nobody says so."""
    text = headers.get(ELAPSED)
    return min(int(text) / 1e6, 3600.0) if text is not None and text.isdecimal() and len(text) <= 12 else 0.0


class Forwarder:
    """Passes requests on, over connections of its own; `clock` is the front end's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.tls: Tls | None = None  # the front end's own; its successors have the same
        self._session: aiohttp.ClientSession | None = None
        self._turn = 0

    async def forward(self, request: web.BaseRequest, body: Body, move: Move, arrival: float) -> Reply | None:
        """The answer of a successor; None where none can be reached, or the request was passed on too often already.

        `body` is decompressed; `arrival` in seconds of the clock.

        Raises:
            ShedError: the successor did not answer by the deadline.
        """
        hops = _hops(request.headers)
        if hops >= MOST_HOPS:
            return None
        until = arrival + (_timeout(body, request.headers.get(HEADER_LENGTH)) or move.deadline) + GRACE
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED]
        headers.append((HOPS, str(hops + 1)))
        for successor in self._in_turn(move.successors):
            spent = max(self._clock() - arrival, 0.0)
            try:
                async with asyncio.timeout(until - self._clock()):
                    return await self._send(successor, move.key, body, [*headers, (ELAPSED, str(int(spent * 1e6)))])
            except _UNREACHABLE as error:  # first: a connection that is not taken in time is a TimeoutError too
                _log.warning("a request could not be passed on to %s: %s", successor, error)
            except TimeoutError:
                raise ShedError("the replica that took over did not answer in time; try again") from None
        return None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, successor: str, key: str, body: Body, headers: list[tuple[str, str]]) -> Reply:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=patience, auto_decompress=False)
        # By the full name, and whichever version serves there: versions are numbered by each node for itself.
        scheme, trust = ("http", True) if self.tls is None else ("https", self.tls.client)
        url = f"{scheme}://{successor}/v2/models/{key}/infer"
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False, ssl=trust) as answer:
            passed = "".join(f"{name}: {answer.headers[name]}\r\n" for name in _PASSED_BACK if name in answer.headers)
            content_type = answer.headers.get(hdrs.CONTENT_TYPE, JSON)
            return Reply(await answer.read(), status=answer.status, content_type=content_type, headers=passed)

    def _in_turn(self, successors: tuple[str, ...]) -> Iterator[str]:
        self._turn += 1
        first = self._turn % max(len(successors), 1)
        yield from (*successors[first:], *successors[:first])


def _hops(headers: Mapping[str, str]) -> int:
    text = headers.get(HOPS, "0")
    return int(text) if text.isdecimal() and len(text) <= 3 else MOST_HOPS


def _timeout(body: Body, header_length: str | None) -> float:
    """The request's own timeout in seconds; 0 where it has none, or cannot be read: the successor will say so."""
    try:
        size = len(body) if header_length is None else int(header_length)
        return _decode_terms(memoryview(body)[:size]).parameters.timeout * 1e-6
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return 0.0
