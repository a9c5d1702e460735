"""Who may call: a bearer token says who asks, and whoever knows callers says what they may.

What a caller may not use looks to it like what is not there: names, shapes and load of others' tenants stay theirs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from aiohttp import hdrs

from treadle_agent.frontend.callers import Caller, PathRight, Reviewer, ReviewError, Right, TenantRight
from treadle_agent.frontend.catalog import AmbiguousTenantError, only_key
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import BadRequestError, ForbiddenError, NoReviewError, UnauthenticatedError
from treadle_agent.frontend.inquiries import Inquiries
from treadle_agent.frontend.routes import Resource, Route
from treadle_agent.frontend.settings import GuardSettings

OWN_BITS = 64  # of an IPv6 address: who has one address of a subnet may have all of it (RFC 4291, section 2.5.1)
LONGEST_NAME = 512  # of a tenant that anybody is asked about; those that exist are shorter

_OPEN = frozenset({Resource.LIVE, Resource.READY})  # the kubelet has no token
_OF_NODE = {Resource.METRICS: PathRight("/metrics"), Resource.TIMELINE: PathRight("/debug/timeline")}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_FORBIDDEN = "there is no such model, or you may not use it: that takes the right to create its inferencetenants/infer"

TokenKey = tuple[bytes, str]
Claim = tuple[Caller, Right]


class Guard:
    """Decides about every request. Tokens are for `settings.audience`; operators' are for the reviewer's own."""

    def __init__(
        self, reviewer: Reviewer, directory: Directory, settings: GuardSettings, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._audience = settings.audience
        self._callers = Inquiries[TokenKey, tuple[str, str], Caller | None](
            lambda asked: reviewer.identify(*asked), settings, clock
        )
        self._rights = Inquiries[Claim, Claim, bool](lambda claim: reviewer.allows(*claim), settings, clock)

    def known(self, route: Route, authorization: str | None) -> Route | None:
        """What `admit` would give, where it takes no waiting; else None."""
        if not (token := _token(authorization)):
            return None
        answer = self._callers.known(*self._question(token, route))
        if answer is None or (caller := answer.value) is None:
            return None
        if route.model:
            keys = self._directory.keys(route.model)
            if len(keys) != 1:
                return None
            [key] = keys
            return _named(route, key) if self._may(caller, _right_to(key)) else None
        right = _OF_NODE.get(route.resource)
        return route if right is None or self._may(caller, right) else None

    async def admit(self, route: Route, headers: Mapping[str, str], peer: str) -> Route:
        """The route, with the full name of the tenant that its caller may use; `peer` is the address it calls from.

        Raises:
            UnauthenticatedError: there is no token, or it is nobody's.
            ForbiddenError: the caller may not, or there is nothing that it may.
            BadRequestError: there are several tenants of the name that it may use.
            NoReviewError: nobody answers whether it may.
        """
        if not route.model and route.resource in _OPEN:
            return route
        authorization = headers.get(hdrs.AUTHORIZATION)
        if (known := self.known(route, authorization)) is not None:
            return known
        if not _TOKEN.fullmatch(token := _token(authorization)):
            raise UnauthenticatedError("a bearer token is needed", "")
        try:
            caller = await self._callers.answer(*self._question(token, route), owner(peer))
            if caller is None:
                raise UnauthenticatedError("the bearer token is not valid here", "invalid_token")
            return await self._allowed(caller, route)
        except ReviewError:
            raise NoReviewError("who may call cannot be asked now; try again") from None

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._callers.close()
        await self._rights.close()

    def _question(self, token: str, route: Route) -> tuple[TokenKey, tuple[str, str]]:
        audience = self._audience if route.model or route.resource not in _OF_NODE else ""
        return (sha256(token.encode(errors="surrogateescape")).digest(), audience), (token, audience)

    def _may(self, caller: Caller, right: Right) -> bool:
        answer = self._rights.known((caller, right), (caller, right))
        return answer is not None and answer.value

    async def _allowed(self, caller: Caller, route: Route) -> Route:
        if not route.model:
            right = _OF_NODE.get(route.resource)
            if right is None or await self._rights.answer((caller, right), (caller, right), caller.user):
                return route
            raise ForbiddenError(f"you may not read {right.path}: that takes the right to get this URL")
        if len(route.model) > LONGEST_NAME:
            raise ForbiddenError(_FORBIDDEN)
        # A name that is nobody's is asked about like any other: neither the answer nor its time tells.
        keys = tuple(self._directory.keys(route.model)) or (route.model,)
        claims = [(caller, _right_to(key)) for key in keys]
        answers = await asyncio.gather(*(self._rights.answer(claim, claim, caller.user) for claim in claims))
        allowed = [key for key, may in zip(keys, answers, strict=True) if may]
        if not allowed:
            raise ForbiddenError(_FORBIDDEN)
        try:
            return _named(route, only_key(route.model, allowed))
        except AmbiguousTenantError as error:
            raise BadRequestError(str(error)) from None


def owner(peer: str) -> str:
    """Who takes a turn at asking for a token that calls from this address: an IPv4 address, or an IPv6 subnet."""
    try:
        address = ip_address(peer)
    except ValueError:  # no address, which a Unix socket has
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> OWN_BITS << OWN_BITS))


def _token(authorization: str | None) -> str:
    """What stands where a token should; "" where there is none."""
    if authorization is None or authorization[:7].lower() != "bearer ":
        return ""
    return authorization[7:].strip(" ")


def _named(route: Route, key: str) -> Route:
    return route if route.model == key else Route(route.resource, key, route.version)


@lru_cache(maxsize=1024)
def _right_to(key: str) -> TenantRight:
    name, _, namespace = key.partition(".")
    return TenantRight(namespace, name)
