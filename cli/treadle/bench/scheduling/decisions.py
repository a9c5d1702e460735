"""How long a decision takes: processor time of the production scheduler, with a steady number of ready requests.

Scheduler and requests are what an executor has: a request is the very message that a front end sends it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from treadle.bench.scheduling.world import ROWS
from treadle_agent.executor.protocol import Submit
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import SpaceTime

DECISIONS = 4000
ROUNDS = 5  # of which the best of each size is told
KERNELS = 8
QUANTUM = 5e-4
ARCHITECTURE_TENANTS = 4  # tenants of one architecture
DEADLINES = (0.5, 1.0, 2.0, 5.0)
IDLE = 1e-4  # seconds until the next look after nothing was decided


@dataclass(frozen=True, slots=True)
class Decisions:
    """Seconds of processor time of single decisions, with so many tenants and ready requests; `problems`: the mean
    that a launch began with. `turn_p99`: of all that a dispatch thread asks of it for one launch: what to shed,
    what to launch, to note what that takes, and to learn from how long it took. `runs`: the p99 in each round.
    """

    tenants: int
    ready: int
    p50: float
    p99: float
    problems: float
    turn_p99: float
    runs: tuple[float, ...] = ()


def best(sizes: Iterable[tuple[int, int]]) -> list[Decisions]:
    """The best run of each size: all decide the same, and what takes longer in one is the machine's other work.

    In rounds, so that what disturbs some seconds does not disturb all runs of a size.
    """
    rounds = [[measure(*size) for size in sizes] for _ in range(ROUNDS)]
    return [
        replace(min(runs, key=lambda run: run.p99), runs=tuple(run.p99 for run in runs))
        for runs in zip(*rounds, strict=True)
    ]


def measure(tenants: int, ready: int, *, each: int = ARCHITECTURE_TENANTS, seed: int = 0) -> Decisions:
    """Time `DECISIONS` decisions; `each`: tenants of one architecture, who can share a launch."""
    random = Random(seed)
    made = _tenants(random, tenants, each)
    scheduler = SpaceTime(max_problems=64, quantum=QUANTUM)
    for tenant in made:
        scheduler.add(tenant)
    now, number, open_, begun, problems = 0.0, 0, 0, 0, 0
    taken: list[float] = []
    turns: list[float] = []
    with _without_collector():
        while len(taken) < DECISIONS:
            while open_ < ready:
                tenant = random.choice(made)
                number += 1
                deadline = now + tenant.deadline * random.uniform(0.8, 1.2)
                asked = Submit(number, tenant.id, 0, 1, 0, now, deadline)
                open_ += scheduler.submit(tenant, asked)
            started = time.thread_time()
            doomed = scheduler.shed(now)
            begin = time.thread_time()
            launch = scheduler.step(now)
            ended = time.thread_time()
            open_ -= len(doomed)
            taken.append(ended - begin)
            turns.append(ended - started)
            if launch is None:
                now += IDLE
                continue
            group = launch.group
            if launch.begin == 0:
                begun, problems = begun + 1, problems + len(group.streams)
            share = group.executable.shares[launch.end] - group.executable.shares[launch.begin]
            seconds = share * group.executable.cost.expected(len(group.streams))
            now += seconds
            begin = time.thread_time()
            scheduler.settle()
            finished = scheduler.launched(launch, seconds)
            turns[-1] += time.thread_time() - begin
            if finished:
                open_ -= sum(len(stream.requests) for stream in group.streams)
    p50, p99 = (sorted(taken)[len(taken) * percent // 100] for percent in (50, 99))
    return Decisions(tenants, ready, p50, p99, problems / max(begun, 1), sorted(turns)[len(turns) * 99 // 100])


def _tenants(random: Random, count: int, each: int) -> Sequence[Tenant]:
    made, executables = [], list[Executable]()
    for key in range(count):
        if key % each == 0:
            shares = tuple(index / KERNELS for index in range(KERNELS + 1))
            seconds = random.uniform(0.5e-3, 2e-3)
            executables = [
                Executable(f"{rows}", rows, shares, mergeable=True, cost=CostModel.line(seconds, 0.1 * seconds * rows))
                for rows in ROWS
            ]
        tier = Tier("only", executables[0].cost.expected(1))
        tier.buckets[0] = executables
        made.append(Tenant(key, random.choice(DEADLINES), 1000, [tier]))
    return made


@contextmanager
def _without_collector() -> Any:
    """A collection of garbage belongs to no decision."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
