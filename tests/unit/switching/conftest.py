"""Tenants whose tiers take given seconds, requests, and the scripts that write pages."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Switching, Tenant, Tier

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


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
        tier.buckets[0] = [Executable(f"t{index}", 1, (0.0, 1.0), mergeable=False, cost=CostModel(seconds, 0.0))]
        tiers.append(tier)
    return Tenant(key, deadline, 1000, tiers, pinned, switching)


@pytest.fixture(name="tenant", scope="session")
def _tenant() -> Callable[..., Tenant]:
    return make_tenant


@pytest.fixture(name="asked", scope="session")
def _asked() -> type[Asked]:
    return Asked


@pytest.fixture(name="script")
def _script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"treadle_benchmarks_{name}", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("check_expected", None)
