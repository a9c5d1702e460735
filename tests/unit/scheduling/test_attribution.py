"""Device time goes to problems by what they would cost alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.attribution import attribute
from treadle_agent.policy.scheduling import SpaceTime


@given(st.floats(0, 10), st.lists(st.floats(1e-6, 1), min_size=1, max_size=64))
def test_parts_sum_to_the_whole_and_are_in_proportion(seconds: float, alone: list[float]) -> None:
    parts = attribute(seconds, alone)
    assert sum(parts) == pytest.approx(seconds)
    for part, cost in zip(parts, alone, strict=True):
        assert part * sum(alone) == pytest.approx(seconds * cost)


def test_where_nothing_is_known_the_split_is_equal() -> None:
    assert attribute(3.0, [0.0, 0.0, 0.0]) == [1.0, 1.0, 1.0]


def test_a_padded_problem_pays_for_what_it_would_take_alone(make: Any) -> None:
    wide, narrow = make.executable("wide", 4, 0.0, 0.04), make.executable("narrow", 2, 0.0, 0.02)
    single = make.executable("single", 1, 0.0, 0.01)
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    tenants = [make.tenant(key, single, narrow, wide) for key in range(5)]
    for tenant, rows in zip(tenants, (4, 4, 4, 4, 1), strict=True):
        scheduler.add(tenant)
        scheduler.submit(tenant, make.asked(tenant.id, rows=rows))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert len(launch.group.streams) == 5
    make.finish(scheduler, launch, 0.0)
    seconds = {stream.tenant.id: stream.seconds for stream in launch.group.streams}
    assert sum(seconds.values()) == pytest.approx(0.2)
    assert seconds[0] == pytest.approx(4 * seconds[4])
