"""How many connections a process can hold, and what a connection makes of what arrives at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from unittest.mock import create_autospec

import pytest
from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from treadle_agent.frontend.reply import Reply
from treadle_agent.frontend.server import RESERVED_FILES, STEP_BYTES, Connection, Server, connection_limit
from treadle_agent.frontend.settings import FrontEndSettings

ARRIVED = 262144  # bytes that the loop gives a connection at most


def test_connections_leave_descriptors_for_the_rest():
    assert connection_limit(4096, -1) == 4096
    assert connection_limit(4096, 100_000) == 4096
    assert connection_limit(4096, 1024) == 1024 - RESERVED_FILES
    assert connection_limit(4096, 64) == 1


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    return Reply(await request.read())


async def parsed(packets: Sequence[bytes]) -> list[object]:
    """What the parser made of packets that came before anything could be answered."""
    connection = Server(handle, FrontEndSettings(), lambda _: None)()
    assert isinstance(connection, Connection)
    connection.connection_made(create_autospec(asyncio.Transport, instance=True))
    try:
        for packet in packets:
            connection.data_received(packet)
        return [message for message, _ in connection._messages]
    finally:
        connection.connection_lost(None)


MALFORMED = [
    b"\x00\x01" * (ARRIVED // 2),
    b"GET / HTTP/1.1\r\nX: " + b"a" * ARRIVED,
    b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * (ARRIVED // 6),
]


@pytest.mark.parametrize("packet", MALFORMED, ids=["none", "long", "many"])
def test_what_is_malformed_is_said_once_and_in_short(packet):
    (message,) = asyncio.run(parsed([packet] * 4))
    assert isinstance(message, _ErrInfo)
    assert len(message.message) < 10 * STEP_BYTES, "four characters for a byte, and a pointer below"


def test_requests_that_come_in_one_packet_are_all_there():
    fields = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(40))
    long = b"GET /%d HTTP/1.1\r\nHost: here\r\n" + fields + b"\r\n"
    packet = b"".join(long % number for number in range(5))
    assert len(packet) > 10 * STEP_BYTES
    assert [message.path for message in asyncio.run(parsed([packet]))] == [f"/{number}" for number in range(5)]


async def echoed(packets: Sequence[bytes], size: int) -> bytes:
    server = await asyncio.get_running_loop().create_server(
        Server(handle, FrontEndSettings(), lambda _: None), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for packet in packets:
            writer.write(packet)
            await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(size)
        writer.close()
        return body


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_large_body_arrives_whole(chunked):
    body = bytes(range(256)) * 4096
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    head = b"POST / HTTP/1.1\r\nHost: here\r\n" + length
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    packets = [head + b"\r\n\r\n" + framed[:1000], framed[1000:]]
    assert asyncio.run(echoed(packets, len(body))) == body
