"""A reviewer whose answers are kept for a time; tokens are kept as digests only."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from treadle_callers.bearer import owner
from treadle_callers.callers import Caller, Reviewer, Right
from treadle_callers.inquiries import Inquiries
from treadle_callers.settings import GuardSettings

TokenKey = tuple[bytes, str]
Claim = tuple[Caller, Right]


class CachedReviewer:
    """Answers of before are believed as `settings` say; what is not known is asked of `reviewer`."""

    def __init__(self, reviewer: Reviewer, settings: GuardSettings, clock: Callable[[], float]) -> None:
        self._callers = Inquiries[TokenKey, tuple[str, str], Caller | None](
            lambda asked: reviewer.identify(*asked), settings, clock
        )
        self._rights = Inquiries[Claim, Claim, bool](lambda claim: reviewer.allows(*claim), settings, clock)

    def known(self, token: str, audience: str) -> Caller | None:
        """Whom a token is known to stand for, where it takes no asking; None: nobody, or that is not known."""
        answer = self._callers.known(_key(token, audience), (token, audience))
        return answer.value if answer is not None else None

    def known_to_be_allowed(self, caller: Caller, right: Right) -> bool:
        """Whether a caller is known to have a right, where it takes no asking."""
        answer = self._rights.known((caller, right), (caller, right))
        return answer is not None and answer.value

    async def identify(self, token: str, audience: str, peer: str) -> Caller | None:
        """As `Reviewer.identify`; `peer`: the address that the token comes from. Raises ReviewError."""
        return await self._callers.answer(_key(token, audience), (token, audience), owner(peer))

    async def allows(self, caller: Caller, right: Right) -> bool:
        """As `Reviewer.allows`. Raises ReviewError."""
        return await self._rights.answer((caller, right), (caller, right), caller.user)

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._callers.close()
        await self._rights.close()


def _key(token: str, audience: str) -> TokenKey:
    return sha256(token.encode(errors="surrogateescape")).digest(), audience
