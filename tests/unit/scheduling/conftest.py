"""Tenants, executables and requests for the scheduler's tests, under a clock that the test turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from treadle.bench.scheduling.world import Asked
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Launch, Scheduler


def executable(
    name: str = "one", rows: int = 1, fixed: float = 0.01, each: float = 0.001, kernels: int = 4
) -> Executable:
    shares = tuple(index / kernels for index in range(kernels + 1))
    return Executable(name, rows, shares, mergeable=True, cost=CostModel.line(fixed, each), capacity=128)


def tenant(key: int, *executables: Executable, deadline: float = 1.0, **terms: Any) -> Tenant:
    tier = Tier("only", executables[0].cost.expected(1))
    tier.buckets[0] = list(executables)
    return Tenant(key, deadline, 1000, [tier], **terms)


def asked(request: int, arrival: float = 0.0, deadline: float = 1.0, rows: int = 1, **terms: Any) -> Asked:
    return Asked(request, arrival, deadline, 0, rows, **terms)


def finish(scheduler: Scheduler, launch: Launch, now: float) -> float:
    """Run a launch as expected; the time then."""
    shares = launch.group.executable.shares
    seconds = launch.group.executable.cost.expected(len(launch.group.streams))
    seconds *= shares[launch.end] - shares[launch.begin]
    scheduler.launched(launch, seconds)
    return now + seconds


@pytest.fixture
def make() -> Any:
    """The builders, by name."""
    return SimpleNamespace(executable=executable, tenant=tenant, asked=asked, finish=finish)
