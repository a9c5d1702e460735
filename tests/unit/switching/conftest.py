"""Tenants whose tiers take given seconds, requests, and the scripts that write pages."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest

from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Switching, Tenant, Tier


@dataclass(frozen=True)
class Asked:
    request: int
    deadline: float = 1.0
    arrival: float = 0.0
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0


def make_tenant(
    *services: float, deadline: float = 1.0, key: int = 1, pinned: int = -1, switching: Switching | None = None
) -> Tenant:
    tiers = []
    for index, seconds in enumerate(services):
        tier = Tier(f"t{index}", seconds)
        tier.buckets[0] = [Executable(f"t{index}", 1, (0.0, 1.0), mergeable=False, cost=CostModel.line(seconds, 0.0))]
        tiers.append(tier)
    return Tenant(key, deadline, 1000, tiers, pinned, switching)


@pytest.fixture(name="tenant", scope="session")
def _tenant() -> Callable[..., Tenant]:
    return make_tenant


@pytest.fixture(name="asked", scope="session")
def _asked() -> type[Asked]:
    return Asked


@pytest.fixture(name="script")
def _script() -> Callable[[str], ModuleType]:
    return importlib.import_module
