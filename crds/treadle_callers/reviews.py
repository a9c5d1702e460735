"""Who a caller is, and what it may: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from treadle_api import tenant
from treadle_api.objects import API_VERSION
from treadle_callers.callers import Caller, PathRight, ReviewError, Right

GROUP = API_VERSION.partition("/")[0]
SUBRESOURCE, VERB = "infer", "create"  # of a tenant: what calling it is

Json = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReviewKind:
    """A kind of which objects are created for the answer in their status, and never kept."""

    name: str
    api_version: str
    plural: str


TOKEN_REVIEWS = ReviewKind("TokenReview", "authentication.k8s.io/v1", "tokenreviews")
ACCESS_REVIEWS = ReviewKind("SubjectAccessReview", "authorization.k8s.io/v1", "subjectaccessreviews")

Create = Callable[[ReviewKind, Json], Awaitable[Json]]


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _Identity(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] = []


class _Access(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class Reviews:
    """Asks the API server; no error of it names a token.

    `create` creates an object there, and gives it back with its status; raises ReviewError where it cannot.
    """

    def __init__(self, create: Create) -> None:
        self._create = create

    async def identify(self, token: str, audience: str) -> Caller | None:
        """Whom a token for `audience` ("": the API server's own) stands for; None: nobody. Raises ReviewError."""
        spec = {"token": token, **({"audiences": [audience]} if audience else {})}
        said = await self._ask(TOKEN_REVIEWS, spec, _Identity)
        # One that names no audience took the token for its own (TokenReviewStatus.audiences).
        if not said.authenticated or (audience and audience not in said.audiences):
            return None
        user = said.user
        extra = tuple((key, tuple(values)) for key, values in sorted(user.extra.items()))
        return Caller(user.username, user.uid, tuple(user.groups), extra)

    async def allows(self, caller: Caller, right: Right) -> bool:
        """Whether a caller has a right. Raises ReviewError."""
        spec: dict[str, object] = {"user": caller.user, "uid": caller.uid, "groups": caller.groups}
        spec["extra"] = dict(caller.extra)
        if isinstance(right, PathRight):
            spec["nonResourceAttributes"] = {"path": right.path, "verb": "get"}
        else:
            spec["resourceAttributes"] = {
                "group": GROUP, "resource": tenant.PLURAL, "subresource": SUBRESOURCE, "verb": VERB,
                "namespace": right.namespace, "name": right.name,
            }  # fmt: skip
        said = await self._ask(ACCESS_REVIEWS, spec, _Access)
        return said.allowed and not said.denied

    async def _ask(self, kind: ReviewKind, spec: Json, answer: type[T]) -> T:
        body = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}
        try:
            return msgspec.convert((await self._create(kind, body)).get("status", {}), answer)
        except msgspec.ValidationError as error:
            raise ReviewError(str(error)) from None
