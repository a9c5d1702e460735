"""Who is let in, as whom, to what, and what a caller learns of what is not its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from treadle_agent.frontend.errors import (
    BadRequestError,
    ForbiddenError,
    NoReviewError,
    RequestError,
    UnauthenticatedError,
)
from treadle_agent.frontend.guard import Guard
from treadle_agent.frontend.routes import Resource, Route, resolve
from treadle_callers.bearer import owner
from treadle_callers.callers import TenantRight

Make = Callable[..., Guard]
ANN = {"Authorization": "Bearer ann-s"}
ROOT = {"Authorization": "Bearer root-s"}
OPERATOR = {"Authorization": "Bearer root-s-own"}
INFER = resolve("/v2/models/words/infer", "POST")


def admit(guard: Guard, path: str, headers: dict[str, str], method: str = "GET") -> Route:
    return asyncio.run(guard.admit(resolve(path, method), headers, "10.0.0.1"))


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_probes_need_no_token(guard: Make, reviewer, path):
    assert admit(guard(), path, {}) == resolve(path, "GET")
    assert reviewer.asked == []


@pytest.mark.parametrize("path", ["/v2", "/v2/models/words", "/v2/models/words/ready", "/metrics", "/debug/timeline"])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YW5uOnM=",
        "ann-s",
        "Bearer two words",
        "Bearer sch\u00f6n",
        "Bearer a\udcff",
    ],
)
def test_without_a_token_nobody_is_asked(guard: Make, reviewer, path, header):
    with pytest.raises(UnauthenticatedError) as refused:
        admit(guard(), path, {} if header is None else {"Authorization": header})
    assert refused.value.status == 401
    assert refused.value.headers == 'WWW-Authenticate: Bearer realm="treadle"\r\n'
    assert reviewer.asked == []


@pytest.mark.parametrize(
    ("path", "method", "whose"),
    [
        ("/v2/models/words/infer", "POST", "the audience treadle.dev"),
        ("/v2", "GET", "the audience treadle.dev"),
        ("/metrics", "GET", "the API server itself"),
    ],
)
def test_a_token_that_is_nobodys(guard: Make, path, method, whose):
    with pytest.raises(
        UnauthenticatedError, match=f"is not valid here: it has expired, or is not for {whose}$"
    ) as refused:
        admit(guard(), path, {"Authorization": "Bearer other"}, method)
    assert refused.value.headers == 'WWW-Authenticate: Bearer realm="treadle", error="invalid_token"\r\n'


@pytest.mark.parametrize("rest", ["", "/ready", "/infer", "/versions/3/infer"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_caller_with_the_right_gets_its_tenant_by_full_name(guard: Make, rest, scheme):
    path = f"/v2/models/words{rest}"
    method = "POST" if rest.endswith("infer") else "GET"
    route = admit(guard(), path, {"Authorization": f"{scheme} ann-s"}, method)
    asked = resolve(path, method)
    assert route == Route(asked.resource, "words.team-a", asked.version)


def test_of_several_tenants_of_a_name_the_callers_own(guard: Make):
    assert admit(guard(), "/v2/models/digits", ANN).model == "digits.team-a"


def test_only_who_may_use_several_is_told_of_them(guard: Make):
    async def run() -> None:
        made = guard()
        for _ in range(2):  # what is known, too, is not known of one of them alone
            with pytest.raises(BadRequestError, match=r"several tenants: digits\.team-a, digits\.team-b"):
                await made.admit(resolve("/v2/models/digits", "GET"), ROOT, "10.0.0.1")

    asyncio.run(run())


@pytest.mark.parametrize(
    "name", ["secret", "secret.team-b", "digits.team-b", "nothing", "nothing.team-b", "nothing.team-a", "x" * 600, "."]
)
def test_what_is_anothers_looks_like_what_is_not_there(guard: Make, name):
    with pytest.raises(ForbiddenError) as refused:
        admit(guard(), f"/v2/models/{name}", ANN)
    assert str(refused.value) == (
        "there is no such model, or you may not use it: that takes the right to create its inferencetenants/infer"
    )
    assert refused.value.headers == ""


def test_a_name_that_is_nobodys_is_asked_about_like_any_other(guard: Make, reviewer):
    for name in ("secret", "nothing"):
        reviewer.asked.clear()
        with pytest.raises(ForbiddenError):
            admit(guard(), f"/v2/models/{name}", ANN)
        assert len(reviewer.asked) == 2, name


def test_who_may_use_a_name_anywhere_is_told_that_it_is_not_there(guard: Make):
    route = admit(guard(), "/v2/models/nothing", ROOT)
    assert route.model == "nothing", "which the directory answers with 404"


def test_what_concerns_all_tenants_takes_another_right_and_another_audience(guard: Make):
    assert admit(guard(), "/metrics", OPERATOR).resource is Resource.METRICS
    for path, headers, error in (
        ("/metrics", ROOT, UnauthenticatedError),
        ("/v2/models/digits", OPERATOR, UnauthenticatedError),
        ("/debug/timeline", OPERATOR, ForbiddenError),
    ):
        with pytest.raises(error):
            admit(guard(), path, headers)


def test_the_servers_own_metadata_takes_a_token_and_no_right(guard: Make, reviewer):
    assert admit(guard(), "/v2", ANN).resource is Resource.SERVER
    assert len(reviewer.asked) == 1


def test_what_is_known_is_not_asked_again_and_no_token_is_kept(guard: Make, reviewer):
    async def run() -> None:
        made = guard()
        await made.admit(INFER, ANN, "10.0.0.1")
        caller = reviewer.tokens["ann-s", "treadle.dev"]
        assert reviewer.asked == [("ann-s", "treadle.dev"), (caller, TenantRight("team-a", "words"))]
        for _ in range(3):
            await made.admit(INFER, ANN, "10.0.0.1")
        assert made.known(INFER, ANN["Authorization"]) == Route(Resource.INFER, "words.team-a")
        assert len(reviewer.asked) == 2
        assert "ann-s" not in repr(
            [*made._reviewer._callers._answers._granted, *made._reviewer._rights._answers._granted]
        )

    asyncio.run(run())


def test_a_right_that_is_taken_is_lost_when_its_time_is_over(guard: Make, reviewer, clock):
    async def run() -> None:
        made = guard()
        await made.admit(INFER, ANN, "10.0.0.1")
        reviewer.rights.clear()
        clock.now += 29.9
        await made.admit(INFER, ANN, "10.0.0.1")
        clock.now += 30.1
        with pytest.raises(ForbiddenError):
            await made.admit(INFER, ANN, "10.0.0.1")

    asyncio.run(run())


def test_a_right_that_is_given_is_there_soon(guard: Make, reviewer, clock):
    async def run() -> None:
        made, rights = guard(), set(reviewer.rights)
        reviewer.rights.clear()
        with pytest.raises(ForbiddenError):
            await made.admit(INFER, ANN, "10.0.0.1")
        reviewer.rights = rights
        clock.now += 5.0
        await made.admit(INFER, ANN, "10.0.0.1")

    asyncio.run(run())


def test_who_keeps_asking_never_waits_again(guard: Make, reviewer, clock):
    async def run() -> None:
        made = guard()
        await made.admit(INFER, ANN, "10.0.0.1")
        for _ in range(20):
            clock.now += 20.0
            assert made.known(INFER, ANN["Authorization"]) is not None
            await asyncio.sleep(0.01)
        assert len(reviewer.asked) > 10

    asyncio.run(run())


def test_while_nobody_answers_what_was_said_holds_for_a_time_and_then_nobody_is_let_in(guard: Make, reviewer, clock):
    async def run() -> None:
        made = guard()
        await made.admit(INFER, ANN, "10.0.0.1")
        reviewer.away = True
        with pytest.raises(NoReviewError) as refused:
            await made.admit(INFER, ROOT, "10.0.0.1")
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        for age in (20.0, 61.0, 200.0, 359.0):
            clock.now = 1000.0 + age
            await made.admit(INFER, ANN, "10.0.0.1")
            await asyncio.sleep(0.01)
        clock.now = 1360.0
        with pytest.raises(NoReviewError):
            await made.admit(INFER, ANN, "10.0.0.1")
        reviewer.away = False
        await made.admit(INFER, ANN, "10.0.0.1")

    asyncio.run(run())


def test_who_keeps_asking_waits_once_for_an_api_server_that_is_silent(guard: Make, reviewer, clock):
    async def run() -> None:
        made = guard(patience=0.02)
        await made.admit(INFER, ANN, "10.0.0.1")
        reviewer.hold = asyncio.Event()
        clock.now += 100.0
        await made.admit(INFER, ANN, "10.0.0.1")
        for _ in range(20):
            clock.now += 3.0
            assert made.known(INFER, ANN["Authorization"]) is not None
            await asyncio.sleep(0.05)
        assert 4 < len(reviewer.asked) < 30

    asyncio.run(run())


def test_a_review_that_does_not_end_is_given_up(guard: Make, reviewer):
    async def run() -> None:
        reviewer.hold = asyncio.Event()
        with pytest.raises(NoReviewError):
            await guard(patience=0.05).admit(INFER, ANN, "10.0.0.1")

    asyncio.run(run())


def test_requests_of_one_token_share_one_review_that_outlives_them(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(), asyncio.Event()
        waiting = [asyncio.create_task(made.admit(INFER, ANN, "10.0.0.1")) for _ in range(50)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert len(reviewer.asked) == 1
        reviewer.hold.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [asyncio.CancelledError, *[Route] * 49]
        assert len(reviewer.asked) == 2

    asyncio.run(run())


def test_few_are_asked_at_a_time_and_one_too_many_waits_for_nothing(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(most_asked=2, most_waiting=5), asyncio.Event()
        strangers = [{"Authorization": f"Bearer stranger-{number}"} for number in range(6)]
        waiting = [asyncio.create_task(made.admit(INFER, who, "10.0.0.1")) for who in strangers]
        await asyncio.sleep(0.01)
        assert isinstance(waiting[-1].exception(), NoReviewError)
        reviewer.hold.set()
        answers = await asyncio.gather(*waiting[:-1], return_exceptions=True)
        assert {type(answer) for answer in answers} == {UnauthenticatedError}
        assert reviewer.most_at_once == 2

    asyncio.run(run())


def test_a_flood_of_tokens_delays_whom_it_comes_from_and_nobody_else(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(most_asked=2, most_waiting=20), asyncio.Event()
        strangers = [{"Authorization": f"Bearer stranger-{number}"} for number in range(100)]
        flood = [asyncio.create_task(made.admit(INFER, who, "10.6.6.6")) for who in strangers]
        await asyncio.sleep(0.01)
        ann = asyncio.create_task(made.admit(INFER, ANN, "10.0.0.1"))
        other = asyncio.create_task(made.admit(INFER, OPERATOR, "10.0.0.2"))
        await asyncio.sleep(0.01)
        refused = [task for task in flood if task.done()]
        assert len(refused) == 100 - 20 + 2, "the last of the flood make room for both"
        assert {type(task.exception()) for task in refused} == {NoReviewError}
        reviewer.hold.set()
        assert await ann == Route(Resource.INFER, "words.team-a")
        with pytest.raises(UnauthenticatedError):
            await other
        asked = [question[0] for question in reviewer.asked if isinstance(question[0], str)]
        assert {asked.index("ann-s"), asked.index("root-s-own")} <= {2, 3, 4}, asked
        await asyncio.gather(*flood, return_exceptions=True)
        assert (made._reviewer._callers._turns._free, len(made._reviewer._callers._turns._line)) == (2, 0)

    asyncio.run(run())


def test_who_has_a_subnet_has_one_turn(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(most_asked=2, most_waiting=20), asyncio.Event()
        flood = [
            asyncio.create_task(
                made.admit(INFER, {"Authorization": f"Bearer stranger-{number}"}, f"2001:db8:6:6:{number:x}::1")
            )
            for number in range(100)
        ]
        await asyncio.sleep(0.01)
        ann = asyncio.create_task(made.admit(INFER, ANN, "2001:db8:6:7::1"))
        await asyncio.sleep(0.01)
        reviewer.hold.set()
        assert await ann == Route(Resource.INFER, "words.team-a")
        asked = [question[0] for question in reviewer.asked if isinstance(question[0], str)]
        assert asked.index("ann-s") <= 3, asked
        await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:DB8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_whose_an_address_is(peer, expected):
    assert owner(peer) == expected


def test_a_flood_of_names_delays_its_own_caller(guard: Make, reviewer):
    async def run() -> None:
        made = guard(most_asked=2, most_waiting=20)
        await made.admit(resolve("/v2", "GET"), ANN, "10.0.0.1")
        await made.admit(resolve("/v2", "GET"), ROOT, "10.0.0.1")
        reviewer.hold = asyncio.Event()
        names = [resolve(f"/v2/models/nobody-{number}", "GET") for number in range(100)]
        flood = [asyncio.create_task(made.admit(name, ROOT, "10.0.0.1")) for name in names]
        await asyncio.sleep(0.01)
        ann = asyncio.create_task(made.admit(INFER, ANN, "10.0.0.1"))
        await asyncio.sleep(0.01)
        reviewer.hold.set()
        assert await ann == Route(Resource.INFER, "words.team-a")
        await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(run())


def test_turns_that_are_given_up_are_passed_on(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(most_asked=1, most_waiting=5, patience=0.05), asyncio.Event()
        for round_ in range(3):
            strangers = [{"Authorization": f"Bearer stranger-{round_}-{number}"} for number in range(5)]
            waiting = [asyncio.create_task(made.admit(INFER, who, "10.6.6.6")) for who in strangers]
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(one) for one in found} == {NoReviewError}
        reviewer.hold.set()
        assert (made._reviewer._callers._turns._free, len(made._reviewer._callers._turns._line)) == (1, 0)
        await made.admit(INFER, ANN, "10.6.6.6")

    asyncio.run(run())


def test_no_log_and_no_answer_names_a_token(guard: Make, reviewer, caplog):
    caplog.set_level(logging.DEBUG, "treadle_agent")
    reviewer.away = True
    said = []
    for headers in (ANN, {"Authorization": "Bearer stranger"}):
        with pytest.raises(RequestError) as refused:
            admit(guard(), "/v2/models/words", headers)
        said.append(str(refused.value) + refused.value.headers)
    assert "nobody says who may call" in caplog.text
    assert not any(token in text for token in ("ann-s", "stranger") for text in (caplog.text, *said))


def test_it_closes_while_it_asks(guard: Make, reviewer):
    async def run() -> None:
        made, reviewer.hold = guard(), asyncio.Event()
        waiting = asyncio.create_task(made.admit(INFER, ANN, "10.0.0.1"))
        await asyncio.sleep(0.01)
        await made.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert reviewer.at_once == 0

    asyncio.run(run())
