"""Bodies that are too large, grow when they are decompressed, or never come."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache

from hostile.tenants import INFER, MIB, TENSOR
from hostile.wire import Answer, endless, exchange, head, request

GIVEN_UP = "given up"
PAUSE = 0.02  # seconds: an attack by what requests are like, not by how many there are


async def together(count: int, until: float, once: Callable[[], Awaitable[Answer]]) -> Counter[str]:
    """`count` clients, each with `PAUSE` between its requests; statuses of the answers.

    What is not answered by then is given up: an attack does not reach into the quiet phase that follows.
    """
    counts: Counter[str] = Counter()

    async def client() -> None:
        while time.monotonic() < until:
            try:
                async with asyncio.timeout_at(until):
                    counts[str((await once()).status)] += 1
            except TimeoutError:
                counts[GIVEN_UP] += 1
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(client())
    return counts


async def declared(host: str, port: int, until: float) -> Counter[str]:
    """Bodies said to be of 100 GB."""
    data = head(INFER, "Content-Length: 100000000000") + bytes(1000)
    return await together(8, until, lambda: exchange(host, port, data))


async def chunked(host: str, port: int, until: float) -> Counter[str]:
    """Bodies of no declared size that never end, eight at 50 MB/s."""
    chunk = b"%x\r\n" % (MIB // 4) + bytes(MIB // 4) + b"\r\n"
    begin = head(INFER, "Transfer-Encoding: chunked")
    return await together(8, until, lambda: endless(host, port, begin, chunk, 0.005))


@cache
def bomb(mebibytes: int) -> bytes:
    """That much of spaces, as gzip."""
    return gzip.compress(b" " * (mebibytes * MIB), 9, mtime=0)


@cache
def endless_bomb(mebibytes: int) -> bytes:
    """The same, without an end, which nobody should come to."""
    packer = zlib.compressobj(9, wbits=31)
    first, other = (packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + other * (mebibytes - 1)


async def inflating(host: str, port: int, until: float) -> Counter[str]:
    """A gigabyte in a megabyte."""
    data = request(INFER, endless_bomb(1024), "Content-Encoding: gzip")
    return await together(8, until, lambda: exchange(host, port, data))


async def inflating_within(host: str, port: int, until: float) -> Counter[str]:
    """Just what one body may have."""
    data = request(INFER, bomb(64), "Content-Encoding: gzip")
    return await together(8, until, lambda: exchange(host, port, data))


async def small_inflating(host: str, port: int, until: float) -> Counter[str]:
    """60 KB that become 60 MB."""
    data = request(INFER, bomb(60), "Content-Encoding: gzip")
    return await together(16, until, lambda: exchange(host, port, data))


async def long_json(host: str, port: int, until: float) -> Counter[str]:
    """As much JSON as is read at all."""
    text = json.dumps({"inputs": [{**TENSOR, "data": [0.123456789] * 580_000}]}).encode()
    assert len(text) < 8 * MIB
    data = request(INFER, text)
    return await together(4, until, lambda: exchange(host, port, data))


async def deep_json(host: str, port: int, until: float) -> Counter[str]:
    """Lists in lists."""
    data = request(INFER, b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + b"[" * (7 * MIB))
    return await together(4, until, lambda: exchange(host, port, data))


async def many_inputs(host: str, port: int, until: float) -> Counter[str]:
    """As many small objects as the JSON part can hold."""
    one = b'{"name":"x","datatype":"FP32","shape":[1,4]}'
    data = request(INFER, b'{"inputs":[' + b",".join([one] * (8 * MIB // (len(one) + 1) - 1)) + b"]}")
    return await together(4, until, lambda: exchange(host, port, data))
