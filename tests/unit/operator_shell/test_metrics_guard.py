"""Who is told the operator's metrics, and who is not; probes are everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from kubernetes.aio.client import Configuration

from treadle_callers.answers import AnswerTiming
from treadle_callers.cached_reviewer import CachedReviewer
from treadle_callers.callers import Caller, PathRight, ReviewError, Right
from treadle_callers.settings import GuardSettings
from treadle_operator.guard import MetricsGuard
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import BusyError, RefusedError, UnreachableError
from treadle_operator.kube.reviews import reviews_by
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.probes import Probes

METRICS = b"treadle_tenant_condition 1\n"
SCRAPER, WEB = Caller("scraper"), Caller("web")
BEARER = 'Bearer realm="treadle"'
Get = Callable[..., Awaitable[tuple[int, str]]]


@dataclass
class Reviewer:
    """Knows two tokens for the API server's own audience; `asked` is what it was asked."""

    away: bool = False
    asked: list[object] = field(default_factory=list)

    async def identify(self, token: str, audience: str) -> Caller | None:
        self._answer((token, audience))
        return {("scraper-s", ""): SCRAPER, ("web-s", ""): WEB, ("web-s-for-tenants", "treadle.dev"): WEB}.get(
            (token, audience)
        )

    async def allows(self, caller: Caller, right: Right) -> bool:
        self._answer((caller, right))
        return (caller, right) == (SCRAPER, PathRight("/metrics"))

    def _answer(self, question: object) -> None:
        self.asked.append(question)
        if self.away:
            raise ReviewError("away")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def served(reviewer: Reviewer, body: Callable[[Get], Awaitable[None]], clock: Clock | None = None) -> None:
    """`body` with a way to ask a guarded operator: ``get(path, token)`` gives status, and text or who may ask."""
    settings = GuardSettings("", AnswerTiming(believed=60.0, outage=300.0, refused=5.0, retry=5.0))

    async def run() -> None:
        guard = MetricsGuard(CachedReviewer(reviewer, settings, clock or Clock()))
        probes = Probes(list, lambda: ["not yet"], lambda: METRICS, guard)
        port = await probes.start("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

            async def get(path: str, token: str | None = None, method: str = "GET") -> tuple[int, str]:
                headers = {"Authorization": token} if token is not None else {}
                async with session.request(method, path, headers=headers) as answer:
                    challenge = answer.headers.get("WWW-Authenticate")
                    assert answer.status == 200 or METRICS not in await answer.read()
                    return answer.status, challenge or await answer.text()

            await body(get)
        await probes.stop()

    asyncio.run(run())


def test_who_may_is_told_and_asked_about_once() -> None:
    reviewer = Reviewer()

    async def body(get: Get) -> None:
        for _ in range(3):
            assert await get("/metrics", "Bearer scraper-s") == (200, METRICS.decode())
        assert reviewer.asked == [("scraper-s", ""), (SCRAPER, PathRight("/metrics"))]

    served(reviewer, body)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YW5uOnM=", "scraper-s", "Bearer two words"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_a_token_nobody_is_told_and_nobody_asked(header: str | None, method: str) -> None:
    reviewer = Reviewer()

    async def body(get: Get) -> None:
        assert await get("/metrics", header, method) == (401, BEARER)

    served(reviewer, body)
    assert reviewer.asked == []


@pytest.mark.parametrize("token", ["other", "web-s-for-tenants"])
def test_a_token_that_is_nobodys_here(token: str) -> None:
    async def body(get: Get) -> None:
        assert await get("/metrics", f"Bearer {token}") == (401, f'{BEARER}, error="invalid_token"')

    served(Reviewer(), body)


def test_who_may_not_is_refused() -> None:
    async def body(get: Get) -> None:
        told = await get("/metrics", "Bearer web-s")
        assert told == (403, "you may not read /metrics: that takes the right to get this URL\n")

    served(Reviewer(), body)


def test_while_nobody_answers_what_was_said_holds_for_a_time_and_then_nobody_is_told() -> None:
    reviewer, clock = Reviewer(), Clock()

    async def body(get: Get) -> None:
        assert (await get("/metrics", "Bearer scraper-s"))[0] == 200
        reviewer.away = True
        assert (await get("/metrics", "Bearer web-s"))[0] == 503, "not seen before"
        for age, status in ((61.0, 200), (359.0, 200), (360.0, 503), (1000.0, 503)):
            clock.now = 1000.0 + age
            assert (await get("/metrics", "Bearer scraper-s"))[0] == status, age
        assert [(await get("/metrics", header))[0] for header in (None, "Bearer other")] == [401, 503]
        reviewer.away = False
        clock.now += 5.0
        assert (await get("/metrics", "Bearer scraper-s"))[0] == 200

    served(reviewer, body, clock)


def test_probes_are_everybodys() -> None:
    reviewer = Reviewer(away=True)

    async def body(get: Get) -> None:
        for token in (None, "Bearer other"):
            assert await get("/healthz", token) == (200, "ok\n")
            assert await get("/readyz", token) == (503, "not yet\n")

    served(reviewer, body)
    assert reviewer.asked == []


@pytest.mark.parametrize(
    "error", [UnreachableError("gone"), RefusedError(403, "Forbidden", "no"), BusyError(503, "later", 1.0)]
)
def test_an_api_server_that_does_not_review_has_not_answered(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def review(*_: object) -> None:
        raise error

    async def body() -> None:
        client = KubeClient(Configuration(), OperatorMetrics())
        monkeypatch.setattr(client, "review", review)
        try:
            with pytest.raises(ReviewError):
                await reviews_by(client).identify("token", "")
            with pytest.raises(ReviewError):
                await reviews_by(client).allows(WEB, PathRight("/metrics"))
        finally:
            await client.close()

    asyncio.run(body())
