"""Refusal at the door: inference requests that the event loop cannot carry, answered before they are parsed."""

from __future__ import annotations

import re

from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import RequestError, ShedError
from treadle_agent.frontend.reply import error_reply
from treadle_agent.frontend.routes import Resource, resolve
from treadle_agent.frontend.turn import TurnLength
from treadle_agent.metrics import RequestOutcome
from treadle_agent.policy.admission import ORDINARY_TURN

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_SPECIAL = re.compile(rb"\r\n(expect|connection|transfer-encoding):", re.IGNORECASE)  # these go the ordinary way


class Gate:
    """Looks at whole requests as they arrive; costs a comparison while turns of the loop are short."""

    def __init__(self, directory: Directory, turn: TurnLength) -> None:
        self._directory = directory
        self._turn = turn
        self._refusal = error_reply(
            ShedError("more requests arrive than this node can take in; try again, or another replica")
        )

    def refusal(self, data: bytes) -> bytes | None:
        """The whole response to `data`, one whole request, where it is to be refused; else None."""
        if self._turn.seconds <= ORDINARY_TURN or not data.startswith(b"POST "):
            return None
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end + 2)
        if end < 0 or length is None or len(data) != end + 4 + int(length[1]) or _SPECIAL.search(data, 0, end + 2):
            return None
        try:
            route = resolve(data[5 : data.index(b" ", 5)].decode("latin-1"), "POST")
            if route.resource is not Resource.INFER:
                return None
            contract = self._directory.contract(route.model, route.version)
        except RequestError:
            return None  # answered in detail the ordinary way
        if contract.admission.admit(self._turn.seconds, contract.served.version.deadline):
            return None
        contract.requests.count(RequestOutcome.SHED)
        return self._refusal.head(close=False) + self._refusal.content
