"""Random models, tenants, priorities, deadlines and loads; a seed gives the same world again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from treadle_agent.executor.versions import ORDINARY_PRIORITY, weight
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier

ROWS = (1, 2, 4, 8)
QUEUE_LIMIT = 1000
SPEEDS = (1.0, 0.5, 0.2)  # of a tenant's tiers, in seconds of the first one's
DEADLINES = (4.0, 10.0, 40.0, 200.0)  # in seconds of the tenant's slowest tier
MERGING = 0.8  # share of architectures whose kernels merge
WEIGHTED = 0.5  # share of worlds whose tenants have priorities, and of those whose requests have
HURRIED = 0.2  # share of their requests that are given one
VARIED = (
    "models, tenants, deadlines, loads from a tenth to five times what the device can do, and in half of the worlds "
    "tenants' priorities, which weigh them, and those of single requests"
)


class Asked(NamedTuple):
    """A request; seconds of the simulated clock."""

    request: int
    arrival: float
    deadline: float
    tenant: int
    rows: int = 1
    priority: int = 0
    binding: int = 0
    tier: int = -1
    forbidden: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's costs: seconds of a launch with no problem, and of one problem's row; how many kernels it has."""

    fixed: float
    per_row: float
    kernels: int
    mergeable: bool


class Terms(NamedTuple):
    """A tenant's number of its architecture, seconds of its deadline, and priority of 1, the highest, to 10."""

    architecture: int
    deadline: float
    priority: int


@dataclass(frozen=True, slots=True)
class World:
    """`architectures`: by tier, most accurate first; `asked` in order."""

    architectures: Sequence[Sequence[Shape]]
    tenants: Sequence[Terms]
    asked: Sequence[Asked]


def world(seed: int, requests: int, *, load: float | None = None) -> World:
    """A world of `requests` requests; `load`: work offered, each request alone, over time; None: any."""
    random, priorities = Random(seed), Random(f"priorities {seed}")
    weighted, hurried = (priorities.random() < WEIGHTED for _ in range(2))
    architectures = [_architecture(random) for _ in range(random.randint(1, 6))]
    tenants = []
    for _ in range(random.randint(1, 24)):
        number = random.randrange(len(architectures))
        slowest = architectures[number][0]
        deadline = random.choice(DEADLINES) * (slowest.fixed + slowest.per_row)
        tenants.append(Terms(number, deadline, priorities.randint(1, 10) if weighted else ORDINARY_PRIORITY))
    asked = _arrivals(random, architectures, tenants, requests, load)
    if hurried:
        asked = [
            one._replace(priority=priorities.randint(1, 3)) if priorities.random() < HURRIED else one for one in asked
        ]
    return World(architectures, tenants, asked)


def tenants(world: World) -> list[Tenant]:
    """The world's tenants, with nothing waiting; those of an architecture share its executables."""
    shared = [[_executables(shape) for shape in tiers] for tiers in world.architectures]
    made = []
    for key, terms in enumerate(world.tenants):
        tiers = []
        for index, executables in enumerate(shared[terms.architecture]):
            tier = Tier(f"t{index}", executables[0].cost.expected(1))
            tier.buckets[0] = executables
            tiers.append(tier)
        made.append(Tenant(key, terms.deadline, QUEUE_LIMIT, tiers, weight=weight(terms.priority)))
    return made


def _architecture(random: Random) -> list[Shape]:
    seconds = 10 ** random.uniform(-4, -2.3)  # 0.1 to 5 ms
    row = random.uniform(0.03, 1.0)
    kernels, mergeable = random.randint(1, 12), random.random() < MERGING
    return [
        Shape(seconds * speed * (1 - row), seconds * speed * row, kernels, mergeable)
        for speed in SPEEDS[: random.randint(1, len(SPEEDS))]
    ]


def _executables(shape: Shape) -> list[Executable]:
    shares = tuple(index / shape.kernels for index in range(shape.kernels + 1))
    return [
        Executable(
            f"rows-{rows}",
            rows,
            shares,
            shape.mergeable,
            CostModel.line(shape.fixed, shape.per_row * rows),
            capacity=128,
        )
        for rows in ROWS
    ]


def _arrivals(
    random: Random,
    architectures: Sequence[Sequence[Shape]],
    tenants: Sequence[Terms],
    requests: int,
    load: float | None,
) -> list[Asked]:
    load = load or 10 ** random.uniform(-1, 0.7)  # 0.1 to 5
    popularity = [random.paretovariate(1.0) for _ in tenants]
    mixed = random.random() < 0.5  # some tenants' requests have several rows
    slowest = [architectures[one.architecture][0] for one in tenants]
    service = [one.fixed + one.per_row for one in slowest]
    mean = sum(each * often for each, often in zip(service, popularity, strict=True)) / sum(popularity)
    now, asked = 0.0, []
    choices = random.choices(range(len(tenants)), popularity, k=requests)
    for number, tenant in enumerate(choices):
        now += random.expovariate(load / mean)
        rows = random.choice((1, 1, 1, 2, 3, 5)) if mixed else 1
        asked.append(Asked(number, now, now + tenants[tenant].deadline, tenant, rows))
    return asked
