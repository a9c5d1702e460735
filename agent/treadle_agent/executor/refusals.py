"""Input shapes that a model has refused of late: to find that out anew for each request would cost a process each."""

from __future__ import annotations

from treadle_agent.executor.bindings import Shapes
from treadle_agent.executor.gateway import RefusedError

REMEMBERED = 256  # shapes
SECONDS = 60.0  # a refusal may have been the machine's, which had too little time or memory


class Refusals:
    """One version's, by one row's shapes, the oldest first."""

    def __init__(self) -> None:
        self._found: dict[Shapes, tuple[float, RefusedError]] = {}

    def add(self, one_row: Shapes, error: RefusedError, now: float) -> None:
        """Remember a refusal."""
        self._found.pop(one_row, None)
        while len(self._found) >= REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[one_row] = (now + SECONDS, error)

    def check(self, one_row: Shapes, now: float) -> None:
        """Raise the RefusedError of these shapes, if it is young."""
        until, error = self._found.get(one_row, (now, None))
        if error is None:
            return
        if now < until:
            raise RefusedError(str(error), error.cause)
        del self._found[one_row]
