"""A tenant's priority is its weight on a crowded device."""

from __future__ import annotations

import pytest

from treadle_agent.executor.protocol import Submit, Version
from treadle_agent.executor.versions import LoadedVersion, weight
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tier
from treadle_agent.policy.scheduling import SpaceTime

SERVICE = 0.01  # seconds of the device that a request takes
DEADLINE = 0.2
LOAD = 3.0  # times what the device can do, that each tenant asks for


@pytest.mark.parametrize(("priority", "expected"), [(1, 10 / 6), (5, 1.0), (10, 1 / 6), (0, 1.0)])
def test_the_highest_priority_weighs_most_and_none_is_the_ordinary_one(priority: int, expected: float) -> None:
    assert weight(priority) == pytest.approx(expected)
    assert loaded(1, priority).weight == pytest.approx(expected)


@pytest.mark.parametrize(("first", "second"), [(1, 5), (5, 8), (1, 10), (5, 5)])
def test_two_tenants_that_want_more_than_the_device_share_it_by_their_priorities(first: int, second: int) -> None:
    versions = [loaded(0, first), loaded(1, second)]
    seconds = crowd(versions, 20.0)
    share = weight(first) / (weight(first) + weight(second))
    assert sum(seconds) == pytest.approx(20.0, rel=0.01)  # nothing of the device is left idle
    assert seconds[0] / sum(seconds) == pytest.approx(share, abs=0.02)


def loaded(key: int, priority: int) -> LoadedVersion:
    """A version of one tier, whose kernels merge with nobody's."""
    tier = Tier("only", SERVICE)
    tier.buckets[0] = [Executable(f"{key}", 1, (0.0, 1.0), mergeable=False, cost=CostModel.line(SERVICE, 0.0))]
    return LoadedVersion(Version(key, f"{key}", DEADLINE, priority, 100, ()), [tier])  # type: ignore[list-item]


def crowd(versions: list[LoadedVersion], seconds: float) -> list[float]:
    """The seconds of the device that each version gets while all ask for more than there is."""
    scheduler = SpaceTime(max_problems=8, quantum=SERVICE)
    for version in versions:
        scheduler.add(version)
    now, asked, spent = 0.0, 0, [0.0] * len(versions)
    while now < seconds:
        while asked * SERVICE / LOAD <= now * len(versions):
            version = versions[asked % len(versions)]
            scheduler.submit(version, Submit(asked, version.id, 0, 1, 0, now, now + DEADLINE))
            asked += 1
        scheduler.shed(now)
        launch = scheduler.step(now)
        assert launch is not None
        now += SERVICE
        scheduler.launched(launch, SERVICE)
        spent[launch.group.streams[0].tenant.id] += SERVICE
    return spent
