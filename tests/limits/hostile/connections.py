"""Clients that are slow, break off, or are too many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter

from hostile.bodies import together
from hostile.tenants import BODY, INFER
from hostile.wire import Answer, exchange, head, request

SLOW = 500  # clients at a time
MANY = 10_000
LATEST = 20.0  # seconds after the end, on a machine that is busy with others
AT_ONCE = 100  # connections opened together: a server's backlog holds some


async def slow_heads(host: str, port: int, until: float) -> Counter[str]:
    """Heads that come a byte now and then, and never end."""
    line = head(INFER, *(f"X-{number}: 1" for number in range(60)))
    return await _drip(host, port, until, line[:-4])


async def slow_bodies(host: str, port: int, until: float) -> Counter[str]:
    """Bodies that do."""
    return await _drip(host, port, until, head(INFER, "Content-Length: 100000") + b"{" * 100, at_once=-90)


async def _drip(host: str, port: int, until: float, data: bytes, at_once: int = 20) -> Counter[str]:
    counts: Counter[str] = Counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data[:at_once])
            for byte in data[at_once:]:
                await asyncio.sleep(0.25)
                if time.monotonic() > until:
                    break
                writer.write(bytes([byte]))
            counts["closed" if reader.at_eof() else "open"] += 1
        except ConnectionError:
            counts["closed"] += 1
        finally:
            writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        for number in range(SLOW if time.monotonic() < until else 0):
            group.create_task(client())
            if not number % AT_ONCE:
                await asyncio.sleep(0.01)
    return counts


async def breaking_off(host: str, port: int, until: float) -> Counter[str]:
    """Requests cut off anywhere: some say that nothing more comes, others just go."""
    whole = request(INFER, BODY)
    cuts = iter(range(1, 1 << 30))

    async def once() -> Answer:
        number = next(cuts)
        data = whole[: number * 7 % len(whole)]
        if number % 2:
            return await exchange(host, port, data, end=True)
        _, writer = await asyncio.open_connection(host, port)
        writer.write(data)
        writer.transport.abort() if number % 4 else writer.close()
        return Answer(0)

    return await together(16, until, once)


async def truncated_tensors(host: str, port: int, until: float) -> Counter[str]:
    """Binary tensors with fewer bytes than they say, or more."""
    sizes = iter(range(1, 1 << 30))

    async def once() -> Answer:
        text = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"parameters":{"binary_data_size":16}}]}'
        size = next(sizes) % 40
        data = text + bytes(size if size != 16 else 15)
        return await exchange(host, port, request(INFER, data, f"Inference-Header-Content-Length: {len(text)}"))

    return await together(8, until, once)


async def many(host: str, port: int, until: float) -> Counter[str]:
    """Ten thousand connections that say nothing, held until the end, or until all are there."""
    counts: Counter[str] = Counter()
    opened: list[socket.socket] = []
    loop = asyncio.get_running_loop()

    async def connect() -> None:
        one = socket.socket()
        opened.append(one)
        one.setblocking(False)
        async with asyncio.timeout(10.0):
            await loop.sock_connect(one, (host, port))

    try:
        begun = time.monotonic() < until
        while len(opened) < MANY and begun and time.monotonic() < until + LATEST:
            await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
        counts["opened"] = len(opened)
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        for one in opened:
            counts[_state(one)] += 1
    finally:
        for one in opened:
            one.close()
    return counts


def _state(connection: socket.socket) -> str:
    with contextlib.suppress(BlockingIOError):
        try:
            said = connection.recv(100)
        except ConnectionError:
            return "reset"
        return said.split()[1].decode() if said else "closed"
    return "open"
