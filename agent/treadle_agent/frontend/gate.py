"""Refusal at the door: inference requests that the event loop cannot carry, answered before they are parsed."""

from __future__ import annotations

import re
from functools import lru_cache

from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import RequestError, TooManyRequestsError
from treadle_agent.frontend.guard import Guard
from treadle_agent.frontend.reply import error_reply
from treadle_agent.frontend.routes import Resource, Route, resolve
from treadle_agent.frontend.turn import TurnLength
from treadle_agent.metrics import RequestOutcome
from treadle_agent.policy.admission import ORDINARY_TURN

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_KEPT = rb"connection:(?![ \t]*keep-alive[ \t]*\r\n)"
_SPECIAL = re.compile(rb"\r\n(expect:|transfer-encoding:|" + _KEPT + rb")", re.IGNORECASE)  # these go the ordinary way
_AUTHORIZATION = re.compile(rb"\r\nauthorization:([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_HEADS = 1024  # remembered: a client's heads are mostly the same, and are read thousands of times a second
_HEAD_BYTES = 4096  # of one that is; a larger one goes the ordinary way


class Gate:
    """Looks at whole requests as they arrive; costs a comparison while turns of the loop are short."""

    def __init__(self, directory: Directory, turn: TurnLength) -> None:
        self._directory = directory
        self._turn = turn
        self.guard: Guard | None = None
        self._refusal = error_reply(TooManyRequestsError())

    def refusal(self, data: bytes) -> bytes | None:
        """The whole response to `data`, one whole request, where it is to be refused; else None."""
        if self._turn.sustained <= ORDINARY_TURN or not data.startswith(b"POST "):
            return None
        end = data.find(b"\r\n\r\n", 0, _HEAD_BYTES) + 2
        try:
            authorization, head = (None, data[:end]) if self.guard is None else _take_authorization(data[:end])
            route, length = read_head(head)
            if route is None or len(data) != end + 2 + length:
                return None
            if self.guard is not None:
                route = self.guard.known(route, authorization)
                if route is None:
                    return None  # others are told nothing of a tenant's load
            contract = self._directory.contract(route.model, route.version)
        except RequestError:
            return None  # answered in detail the ordinary way
        if contract.admission.admit(self._turn.sustained, contract.served.version.deadline):
            return None
        contract.requests.count(RequestOutcome.SHED)
        return self._refusal.head(close=False) + self._refusal.content


def _take_authorization(head: bytes) -> tuple[str | None, bytes]:
    """Who asks, and the head without that: it is to be remembered, and no token is."""
    if (found := _AUTHORIZATION.search(head)) is None:
        return None, head
    return found[1].decode("latin-1").strip(" \t"), head[: found.start()] + head[found.end() :]


@lru_cache(_HEADS)
def read_head(head: bytes) -> tuple[Route | None, int]:
    """The route and the body's length of a POST request's head, up to its last line's end; None: the ordinary way.

    Raises:
        RequestError: its path leads nowhere.
    """
    length = _LENGTH.search(head)
    line = head.partition(b"\r\n")[0].split(b" ")
    if length is None or _SPECIAL.search(head) or len(line) != 3 or line[2] != b"HTTP/1.1":
        return None, 0
    route = resolve(line[1].decode("latin-1"), "POST")
    return (route if route.resource is Resource.INFER else None), int(length[1])
