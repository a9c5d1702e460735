"""Which tier answers a tenant now: asked with a real request, as a client would see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp
import msgspec

from treadle.demo.servers import POLL_SECONDS, ServerError
from treadle.load.targets import BINARY_HEADER, Target


class _Parameters(msgspec.Struct):
    tier: str = ""


class _Answer(msgspec.Struct):
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


async def wait_for_tier(url: str, targets: Sequence[Target], tier: str, seconds: float) -> None:
    """Wait until idle tenants at `url` are all answered by `tier`; raises ServerError, aiohttp.ClientError."""
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        for target in targets:
            while (now := await _tier(session, url, target)) != tier:
                if time.monotonic() > deadline:
                    raise ServerError(f"{target.path}: tier {now!r} answers, {seconds:.0f} s after {tier!r} was pinned")
                await asyncio.sleep(POLL_SECONDS)


async def _tier(session: aiohttp.ClientSession, url: str, target: Target) -> str:
    variant = target.variants[0]
    headers = dict(line.split(": ", 1) for line in variant.head.decode().splitlines())
    async with session.post(url + target.path, data=variant.body, headers=headers) as response:
        body = await response.read()
        if not response.ok:
            return f"HTTP {response.status}: {body.decode(errors='replace')}"
        document = body[: int(response.headers.get(BINARY_HEADER, len(body)))]
        return msgspec.json.decode(document, type=_Answer).parameters.tier
