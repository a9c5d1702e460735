"""Who calls, what they may be allowed to, and who knows that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for, in Kubernetes' words; hashed once, and looked up with every request."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.user, self.uid, self.groups, self.extra)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class TenantRight:
    """To use one tenant: its inference and what is told of it. Namespace "": of this name in any."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class PathRight:
    """To read what concerns all tenants of the node."""

    path: str


Right = TenantRight | PathRight


class ReviewError(Exception):
    """Raised when nobody answers who a caller is, or what it may."""


class Reviewer(Protocol):
    """Knows callers and their rights; takes its time."""

    async def identify(self, token: str, audience: str) -> Caller | None:
        """Whom a token for `audience` ("": the reviewer's own) stands for; None: nobody. Raises ReviewError."""

    async def allows(self, caller: Caller, right: Right) -> bool:
        """Whether a caller has a right. Raises ReviewError."""
