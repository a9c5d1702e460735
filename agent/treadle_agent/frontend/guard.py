"""Who may call: a bearer token says who asks, and whoever knows callers says what they may.

What a caller may not use looks to it like what is not there: names, shapes and load of others' tenants stay theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache

from aiohttp import hdrs

from treadle_agent.frontend.catalog import AmbiguousTenantError, only_key
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import BadRequestError, ForbiddenError, NoReviewError, UnauthenticatedError
from treadle_agent.frontend.routes import Resource, Route
from treadle_callers.bearer import is_token, read_token
from treadle_callers.cached_reviewer import CachedReviewer
from treadle_callers.callers import Caller, PathRight, Reviewer, ReviewError, TenantRight
from treadle_callers.settings import GuardSettings

LONGEST_NAME = 512  # of a tenant that anybody is asked about; those that exist are shorter

_OPEN = frozenset({Resource.LIVE, Resource.READY})  # the kubelet has no token
_OF_NODE = {Resource.METRICS: PathRight("/metrics"), Resource.TIMELINE: PathRight("/debug/timeline")}
_FORBIDDEN = "there is no such model, or you may not use it: that takes the right to create its inferencetenants/infer"


class Guard:
    """Decides about every request. Tokens are for `settings.audience`; operators' are for the reviewer's own."""

    def __init__(
        self, reviewer: Reviewer, directory: Directory, settings: GuardSettings, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._audience = settings.audience
        self._reviewer = CachedReviewer(reviewer, settings, clock)

    def known(self, route: Route, authorization: str | None) -> Route | None:
        """What `admit` would give, where it takes no waiting; else None."""
        if not (token := read_token(authorization)):
            return None
        if (caller := self._reviewer.known(token, self._audience_of(route))) is None:
            return None
        if route.model:
            keys = self._directory.keys(route.model)
            if len(keys) != 1:
                return None
            [key] = keys
            return _named(route, key) if self._reviewer.known_to_be_allowed(caller, _right_to(key)) else None
        right = _OF_NODE.get(route.resource)
        return route if right is None or self._reviewer.known_to_be_allowed(caller, right) else None

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
        if not is_token(token := read_token(authorization)):
            raise UnauthenticatedError("a bearer token is needed", "")
        try:
            audience = self._audience_of(route)
            caller = await self._reviewer.identify(token, audience, peer)
            if caller is None:
                whose = f"for the audience {audience}" if audience else "for the API server itself"
                raise UnauthenticatedError(
                    f"the bearer token is not valid here: it has expired, or is not {whose}", "invalid_token"
                )
            return await self._allowed(caller, route)
        except ReviewError:
            raise NoReviewError("who may call cannot be asked now; try again") from None

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._reviewer.close()

    def _audience_of(self, route: Route) -> str:
        """Whom a token is to be for; "" is the API server itself."""
        return self._audience if route.model or route.resource not in _OF_NODE else ""

    async def _allowed(self, caller: Caller, route: Route) -> Route:
        if not route.model:
            right = _OF_NODE.get(route.resource)
            if right is None or await self._reviewer.allows(caller, right):
                return route
            raise ForbiddenError(f"you may not read {right.path}: that takes the right to get this URL")
        if len(route.model) > LONGEST_NAME:
            raise ForbiddenError(_FORBIDDEN)
        # A name that is nobody's is asked about like any other: neither the answer nor its time tells.
        keys = tuple(self._directory.keys(route.model)) or (route.model,)
        answers = await asyncio.gather(*(self._reviewer.allows(caller, _right_to(key)) for key in keys))
        allowed = [key for key, may in zip(keys, answers, strict=True) if may]
        if not allowed:
            raise ForbiddenError(_FORBIDDEN)
        try:
            return _named(route, only_key(route.model, allowed))
        except AmbiguousTenantError as error:
            raise BadRequestError(str(error)) from None


def _named(route: Route, key: str) -> Route:
    return route if route.model == key else Route(route.resource, key, route.version)


@lru_cache(maxsize=1024)
def _right_to(key: str) -> TenantRight:
    name, _, namespace = key.partition(".")
    return TenantRight(namespace, name)
