"""Heads of requests that are too long, have too many fields, or are none."""

from __future__ import annotations

import itertools
from collections import Counter

from hostile import wire
from hostile.bodies import together
from hostile.tenants import BODY, INFER
from hostile.wire import exchange, head, request

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
    return await together(8, until, lambda: wire.endless(host, port, head(INFER)[:-2], lines, 0.001))
