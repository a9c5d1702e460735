"""Heads of requests that are too long, have too many fields, or are none."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from hostile.bodies import together
from hostile.tenants import BODY, INFER
from hostile.wire import Answer, exchange, head, read_answer, request

FIELDS = [
    request(INFER, BODY, *(f"X-{number}: 1" for number in range(65))),
    request(INFER, BODY, *(f"X-{number}: 1" for number in range(10_000))),
    request(INFER, BODY, *["X-Same: 1"] * 10_000),
    request(INFER, BODY, "X: " + "a" * 9000),
    request(INFER, BODY, "X: " + "a" * 1_000_000),
    request(INFER, BODY, "a" * 1_000_000 + ": 1"),
    request(INFER + "?" + "a" * 100_000, BODY),
    head("/v2/" + "a/" * 100_000, method="GET"),
]
"""Requests with too much in the head: 400 or 431."""


async def floods(host: str, port: int, until: float) -> Counter[str]:
    """One after another."""
    turns = itertools.cycle(FIELDS)
    return await together(8, until, lambda: exchange(host, port, next(turns)))


async def endless(host: str, port: int, until: float) -> Counter[str]:
    """Fields without end, as fast as they are taken."""
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 100) for number in range(100))

    async def once() -> Answer:
        reader, writer = await asyncio.open_connection(host, port)
        answer = asyncio.create_task(read_answer(reader))
        try:
            writer.write(head(INFER)[:-2])
            while not answer.done():
                writer.write(lines)
                await writer.drain()
                await asyncio.sleep(0.001)
            return await answer
        except ConnectionError:
            return await answer
        finally:
            answer.cancel()
            writer.transport.abort()

    return await together(8, until, once)
