"""HTTP by hand, so that it can be wrong."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import Any

ANSWER_SECONDS = 20.0
SENT_BYTES = 65536  # at once: the kernel is not interrupted while it takes what a network would bring in packets


@dataclass
class Answer:
    """A response, as far as it came; status 0: the connection ended without one."""

    status: int
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        """Whether it says that the connection closes."""
        return self.fields.get("connection") == "close"


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """A request's head, with its last empty line."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *lines, "", ""]).encode("latin-1")


def request(path: str, body: bytes, *lines: str, method: str = "POST") -> bytes:
    """A whole request."""
    return head(path, f"Content-Length: {len(body)}", *lines, method=method) + body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One response of a connection that may go on; raises TimeoutError when none comes."""
    async with asyncio.timeout(ANSWER_SECONDS):
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()[:-1]
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(fields["content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0)
    return Answer(int(first.split()[1]), fields, body)


async def connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that takes as much at once as a network does."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
    return reader, writer


async def exchange(host: str, port: int, data: bytes, *, end: bool = False) -> Answer:
    """Send bytes on a connection of their own, whole even where the answer comes first; what came back.

    `end`: nothing more will come, and the server is told so.
    """
    reader, writer = await connect(host, port)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        answer = await read_answer(reader)
    finally:
        writer.transport.abort()
    return answer


async def endless(host: str, port: int, begin: bytes, more: bytes, pause: float) -> Answer:
    """The answer to a request that goes on with `more`, every `pause` seconds, until there is one."""
    reader, writer = await connect(host, port)
    answer = asyncio.create_task(read_answer(reader))
    try:
        writer.write(begin)
        while not answer.done():
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(pause)
        return await answer
    except ConnectionError:
        return await answer
    finally:
        answer.cancel()
        writer.transport.abort()
