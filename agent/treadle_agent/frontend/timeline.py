"""`GET /debug/timeline`: what a device launches in the next seconds, for Perfetto.

It names all tenants, so only this machine may ask (in a Pod: `kubectl port-forward`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from treadle_agent.frontend.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NoTimelineError,
)
from treadle_agent.frontend.reply import Reply
from treadle_agent.frontend.site import Site

DEFAULT_SECONDS = 5.0
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For")  # who asks is elsewhere, though a proxy here passes it on
LONGEST = 60.0


async def record(request: web.BaseRequest, sites: Sequence[Site]) -> Reply:
    """Record ``?seconds=`` of the device ``?device=``, which may be left out where there is one."""
    if not _is_local(request.remote) or any(name in request.headers for name in FORWARDED):
        raise ForbiddenError("a timeline names all tenants: ask from the machine itself, or by kubectl port-forward")
    seconds = _seconds(request.query.get("seconds", str(DEFAULT_SECONDS)))
    site = _site(request.query.get("device"), sites)
    if site.timeline.locked():
        raise ConflictError("a timeline is being recorded already")
    async with site.timeline:
        with tempfile.TemporaryDirectory(prefix="treadle-timeline-") as folder:
            path = Path(folder) / "timeline.json"
            site.gateway.trace(path)
            try:
                await asyncio.sleep(seconds)
            finally:
                await site.gateway.end_trace()
            try:
                return Reply(await asyncio.to_thread(path.read_bytes))
            except FileNotFoundError:
                raise NoTimelineError("the executor ended meanwhile, or could not write its timeline") from None


def _is_local(remote: str | None) -> bool:
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= LONGEST:
        raise BadRequestError(f"seconds: must be a number above 0, at most {LONGEST:g}")
    return seconds


def _site(device: str | None, sites: Sequence[Site]) -> Site:
    if device is None and len(sites) == 1:
        return sites[0]
    for site in sites:
        if site.device == device:
            return site
    names = ", ".join(site.device for site in sites)
    if device is None:
        raise BadRequestError(f"device: must be one of {names}")
    raise NotFoundError(f"there is no device {device!r} here; there are {names}")
