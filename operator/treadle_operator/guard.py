"""Who may read the metrics, which tell of all tenants: whoever may `get` the URL, by the API server's word."""

from __future__ import annotations

from aiohttp import hdrs, web

from treadle_callers.bearer import challenge, is_token, read_token
from treadle_callers.cached_reviewer import CachedReviewer
from treadle_callers.callers import PathRight, ReviewError

_METRICS = PathRight("/metrics")  # as at an agent: one role is for both
_OWN_AUDIENCE = ""


class MetricsGuard:
    """Decides about every scrape; tokens are for the API server itself."""

    def __init__(self, reviewer: CachedReviewer) -> None:
        self._reviewer = reviewer

    async def admit(self, request: web.Request) -> None:
        """Let it pass.

        Raises:
            web.HTTPUnauthorized: there is no token, or it is nobody's.
            web.HTTPForbidden: whoever asks may not read them.
            web.HTTPServiceUnavailable: nobody answers whether that one may.
        """
        token = read_token(request.headers.get(hdrs.AUTHORIZATION))
        if not is_token(token):
            raise _unauthenticated("a bearer token is needed")
        try:
            caller = await self._reviewer.identify(token, _OWN_AUDIENCE, request.remote or "")
            if caller is None:
                raise _unauthenticated("the bearer token is not valid here", "invalid_token")
            if not await self._reviewer.allows(caller, _METRICS):
                raise web.HTTPForbidden(text="you may not read /metrics: that takes the right to get this URL\n")
        except ReviewError:
            raise web.HTTPServiceUnavailable(
                text="who may read this cannot be asked now; try again\n", headers={hdrs.RETRY_AFTER: "1"}
            ) from None

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._reviewer.close()


def _unauthenticated(text: str, code: str = "") -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=f"{text}\n", headers={hdrs.WWW_AUTHENTICATE: challenge(code)})
