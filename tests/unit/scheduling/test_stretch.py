"""Stretch: against what the same executable usually took."""

from __future__ import annotations

from typing import Any

import pytest

from treadle_agent.policy.stretch import KNOWN, Stretches


def test_nothing_is_said_before_the_usual_is_known(make: Any) -> None:
    one, stretches = make.executable(fixed=0.0, each=0.01), Stretches()
    assert [stretches.observe(one, 1, 0.5, 0.01) for _ in range(KNOWN)] == [None] * KNOWN
    assert stretches.observe(one, 1, 0.5, 0.01) == pytest.approx(1.0)  # twice its profile, as always
    assert stretches.observe(one, 1, 1.0, 0.025) == pytest.approx(1.25)


def test_numbers_of_problems_have_references_of_their_own_once_they_are_known(make: Any) -> None:
    one, stretches = make.executable(fixed=0.0, each=0.01), Stretches()
    for _ in range(20):
        stretches.observe(one, 8, 1.0, 0.08)
    assert stretches.observe(one, 1, 1.0, 0.02) == pytest.approx(2.0)  # what eight usually show
    for _ in range(KNOWN):
        stretches.observe(one, 1, 1.0, 0.02)
    assert stretches.observe(one, 1, 1.0, 0.02) == pytest.approx(1.0)  # its own


def test_what_is_slow_for_long_does_not_become_the_usual_and_what_is_gone_is_forgotten(make: Any) -> None:
    one, stretches = make.executable(fixed=0.0, each=0.01), Stretches()
    for _ in range(20):
        stretches.observe(one, 1, 1.0, 0.01)
    for _ in range(1000):
        stretches.observe(one, 1, 1.0, 0.0125)
    assert stretches.observe(one, 1, 1.0, 0.0125) == pytest.approx(1.25)
    stretches.forget(set())
    assert stretches.observe(one, 1, 1.0, 0.0125) is None
