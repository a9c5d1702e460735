"""Refusal at the door: whole requests while turns are long, nothing else, and counted."""

from types import SimpleNamespace
from typing import Any

import pytest

from treadle_agent.frontend.errors import NotFoundError
from treadle_agent.frontend.gate import Gate, read_head
from treadle_agent.frontend.routes import Route
from treadle_agent.frontend.turn import TurnLength
from treadle_agent.metrics import RequestOutcome
from treadle_agent.policy.admission import Admission

REQUEST = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


class Directory:
    """A directory with one tenant, a double; `counted` is what its requests came to."""

    def __init__(self) -> None:
        self.counted: list[RequestOutcome] = []

    def contract(self, name: str, _: str | None) -> Any:
        if name != "digits":
            raise NotFoundError("no such tenant")
        served = SimpleNamespace(version=SimpleNamespace(deadline=0.05))
        requests = SimpleNamespace(count=self.counted.append)
        return SimpleNamespace(admission=Admission(), served=served, requests=requests)


@pytest.fixture
def directory() -> Directory:
    return Directory()


def gate(directory: Directory, turn: float) -> Gate:
    measured = TurnLength()
    measured.sustained = turn
    return Gate(directory, measured)  # type: ignore[arg-type]


def test_a_whole_request_is_refused_in_one_piece_and_counted(directory: Directory) -> None:
    refusal = gate(directory, 0.5).refusal(REQUEST)
    assert refusal is not None
    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in refusal
    assert directory.counted == [RequestOutcome.SHED]


@pytest.mark.parametrize("connection", [b"keep-alive", b"Keep-Alive", b" keep-alive "])
def test_a_client_that_asks_to_keep_its_connection_is_judged_like_any_other(
    directory: Directory, connection: bytes
) -> None:
    assert gate(directory, 0.5).refusal(REQUEST.replace(b"Host: x", b"Connection: " + connection)) is not None


def test_nobody_is_refused_while_turns_are_short(directory: Directory) -> None:
    assert gate(directory, 0.003).refusal(REQUEST) is None
    assert directory.counted == []


@pytest.mark.parametrize(
    "data",
    [
        REQUEST[:-1],
        REQUEST + b"P",
        REQUEST[:30],
        REQUEST.replace(b"Content-Length: 4\r\n", b""),
        REQUEST.replace(b"Host: x", b"Expect: 100-continue"),
        REQUEST.replace(b"Host: x", b"Connection: close"),
        REQUEST.replace(b"Host: x", b"Connection: keep-alive, upgrade"),
        REQUEST.replace(b"Host: x", b"X: " + b"x" * 5000),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b" HTTP/1.1", b""),
        REQUEST.replace(b"Host: x", b"Transfer-Encoding: chunked"),
        REQUEST.replace(b"digits", b"nobody"),
        REQUEST.replace(b"/infer", b"/ready"),
        b"GET /v2/health/ready HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"\x00\xff garbage",
        b"",
    ],
)
def test_anything_else_goes_the_ordinary_way(directory: Directory, data: bytes) -> None:
    assert gate(directory, 0.5).refusal(data) is None
    assert directory.counted == []


class Guard:
    """Knows one caller of `digits`, a double; `asked` are the headers it was shown."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def known(self, route: Route, authorization: str | None) -> Route | None:
        self.asked.append(authorization)
        return route if authorization == "Bearer ann" else None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"Authorization: Bearer ann\r\n", "Bearer ann"),
        (b"authorization:Bearer ann \t\r\n", "Bearer ann"),
        (b"Authorization: Bearer bob\r\n", "Bearer bob"),
        (b"", None),
    ],
)
def test_only_who_may_use_a_tenant_is_told_that_it_is_overloaded(
    directory: Directory, line: bytes, shown: str | None
) -> None:
    guarded, guard = gate(directory, 0.5), Guard()
    guarded.guard = guard  # type: ignore[assignment]
    told = guarded.refusal(REQUEST.replace(b"Host: x\r\n", b"Host: x\r\n" + line))
    assert guard.asked == [shown]
    assert (told is not None) == (shown == "Bearer ann")
    assert len(directory.counted) == (shown == "Bearer ann")


def test_no_token_is_remembered_with_a_head(directory: Directory) -> None:
    guarded = gate(directory, 0.5)
    guarded.guard = Guard()  # type: ignore[assignment]
    read_head.cache_clear()
    for token in (b"ann", b"bob", b"cy"):
        guarded.refusal(REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nAuthorization: Bearer " + token + b"\r\n"))
    assert read_head.cache_info().currsize == 1
