"""A guard before a double of whoever knows callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest

from treadle_agent.frontend.guard import Guard
from treadle_callers.answers import AnswerTiming
from treadle_callers.callers import Caller, PathRight, ReviewError, Right, TenantRight
from treadle_callers.settings import GuardSettings

AUDIENCE = "treadle.dev"
ANN = Caller("ann", "1", ("team-a",))
ROOT = Caller("root", "0")


@dataclass
class Reviewer:
    """Knows a few tokens; `asked` is all that it was asked, `hold` what its answers wait for."""

    tokens: dict[tuple[str, str], Caller] = field(default_factory=dict)
    rights: set[tuple[Caller, Right]] = field(default_factory=set)
    asked: list[object] = field(default_factory=list)
    away: bool = False
    hold: asyncio.Event | None = None
    at_once: int = 0
    most_at_once: int = 0

    async def _answer(self, question: object) -> None:
        self.asked.append(question)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (asyncio.sleep(0) if self.hold is None else self.hold.wait())
        finally:
            self.at_once -= 1
        if self.away:
            raise ReviewError("away")

    async def identify(self, token: str, audience: str) -> Caller | None:
        await self._answer((token, audience))
        return self.tokens.get((token, audience))

    async def allows(self, caller: Caller, right: Right) -> bool:
        await self._answer((caller, right))
        return (caller, right) in self.rights


class Directory:
    """The tenants `digits` of two teams, and `words` of one."""

    def __init__(self) -> None:
        self.names = {
            "digits": ["digits.team-a", "digits.team-b"], "words": ["words.team-a"], "secret": ["secret.team-b"],
        }  # fmt: skip

    def keys(self, name: str) -> Collection[str]:
        known = [key for keys in self.names.values() for key in keys]
        return (name,) if name in known else self.names.get(name, ())


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviewer() -> Reviewer:
    made = Reviewer()
    made.tokens = {("ann-s", AUDIENCE): ANN, ("root-s", AUDIENCE): ROOT, ("root-s-own", ""): ROOT}
    made.rights = {(ANN, TenantRight("team-a", "digits")), (ANN, TenantRight("team-a", "words"))}
    made.rights |= {(ROOT, TenantRight("", name)) for name in ("nothing", "digits")}
    made.rights |= {(ROOT, TenantRight(team, "digits")) for team in ("team-a", "team-b")}
    made.rights |= {(ROOT, PathRight("/metrics"))}
    return made


@pytest.fixture
def guard(reviewer: Reviewer, clock: Clock) -> Callable[..., Guard]:
    def make(**settings: object) -> Guard:
        timing = AnswerTiming(believed=60.0, outage=300.0, refused=5.0, retry=5.0)
        settings = {"audience": AUDIENCE, "timing": timing, **settings}
        return Guard(reviewer, Directory(), GuardSettings(**settings), clock)  # type: ignore[arg-type]

    return make
