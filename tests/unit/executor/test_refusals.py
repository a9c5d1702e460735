"""Input shapes that were refused are so for a while, and not without bound."""

from __future__ import annotations

import pytest

from treadle_agent.executor.gateway import RefusedError
from treadle_agent.executor.refusals import REMEMBERED, SECONDS, Refusals


def test_a_refusal_is_remembered_for_a_while() -> None:
    refusals = Refusals()
    refusals.add(((1, 7),), RefusedError("no"), 10.0)
    refusals.check(((1, 8),), 10.0)
    with pytest.raises(RefusedError, match="no"):
        refusals.check(((1, 7),), 10.0 + SECONDS - 1)
    refusals.check(((1, 7),), 10.0 + SECONDS)


def test_the_oldest_are_forgotten() -> None:
    refusals = Refusals()
    for width in range(REMEMBERED + 1):
        refusals.add(((1, width),), RefusedError("no"), 0.0)
    refusals.check(((1, 0),), 0.0)
    with pytest.raises(RefusedError):
        refusals.check(((1, 1),), 0.0)
