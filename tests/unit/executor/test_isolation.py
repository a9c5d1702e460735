"""What launches took, through the monitor, to the scheduler and into the report."""

from __future__ import annotations

from random import Random

import pytest

from treadle.bench.scheduling.world import Asked
from treadle_agent.executor.isolation import Isolation
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import ALONE, SpaceTime

TENANTS = 9


class House:
    def __init__(self, seed: int = 1) -> None:
        self.random = Random(seed)
        self.scheduler = SpaceTime(max_problems=64, quantum=1.0)
        self.isolation = Isolation(self.scheduler)
        self.document = Document("host", "space-time")
        self.slow = 1.0
        self.number = 0
        shared = [Executable("one", 1, (0.0, 1.0), mergeable=True, cost=CostModel.line(0.01, 0.001))]
        for key in range(TENANTS):
            tier = Tier("only", 0.011)
            tier.buckets[0] = shared
            self.scheduler.add(Tenant(key, 1.0, 100, [tier]))
            self.document.tenants[key] = TenantStatistics(f"tenant-{key}")

    def turn(self) -> list[int]:
        """Everyone asks once; the sizes of the launches."""
        for key, tenant in self.scheduler.tenants.items():
            self.number += 1
            self.scheduler.submit(tenant, Asked(self.number, 0.0, 1e9, key))
        sizes = []
        while (launch := self.scheduler.step(0.0)) is not None:
            streams = launch.group.streams
            seconds = launch.group.executable.cost.profiled(len(streams)) * self.random.gauss(1.0, 0.03)
            seconds *= self.slow if any(stream.tenant.id == 4 for stream in streams) else 1.0
            self.isolation.launched(launch, seconds)
            self.scheduler.launched(launch, seconds)
            sizes.append(len(streams))
        self.isolation.report(self.document)
        return sizes


@pytest.mark.parametrize("seed", range(6))
def test_a_straggler_runs_alone_and_stands_in_the_report(seed: int) -> None:
    house = House(seed)
    for _ in range(210):
        assert house.turn() == [TENANTS]
    assert not any(one.straggling for one in house.document.tenants.values())
    house.slow = 1.3
    for _ in range(60):
        house.turn()
    assert sorted(house.turn()) == [1, TENANTS - 1]
    assert house.scheduler.tenants[4].company == ALONE
    assert [key for key, one in house.document.tenants.items() if one.straggling] == [4]
    assert house.document.tenants[4].stretch == pytest.approx(1.3, abs=0.1)
    assert house.document.tenants[1].stretch == pytest.approx(1.0, abs=0.1)
    assert house.document.stretch == pytest.approx(1.0, abs=0.05)
    assert not house.document.straggling


def test_a_tenant_that_comes_back_is_judged_anew() -> None:
    house = House()
    house.slow = 1.3
    for key in range(TENANTS):
        if key != 4:
            house.turn()
    for _ in range(300):
        house.turn()
    tenant = house.scheduler.tenants[4]
    house.scheduler.remove(tenant)
    house.isolation.forget(4)
    house.isolation.report(house.document)
    assert not house.document.tenants[4].straggling
    assert house.document.tenants[4].stretch == 1.0
