"""Requests through a real policy on a virtual clock, with the analytic GPU under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from treadle.simulate.goodput.architectures import Architecture
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Launch, Scheduler

TICK = 2e-4  # seconds between looks at a policy that waits on purpose and does not say until when
QUEUE_LIMIT = 10_000
NEVER = float("inf")


class Asked(NamedTuple):
    """A request; seconds of the virtual clock."""

    request: int
    arrival: float
    deadline: float
    tenant: int
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0


@dataclass(slots=True)
class _Running:
    launch: Launch
    architecture: Architecture
    alone: float  # seconds that it takes alone
    left: float  # of them


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of `offered` requests, how many were answered in time; launches, and the problems in them."""

    offered: int
    good: int
    launches: int
    problems: int


def arrivals(tenants: Sequence[Architecture], rate: float, count: int, seed: int) -> list[Asked]:
    """`count` Poisson arrivals at `rate` requests a second in all, every tenant alike."""
    random = Random(seed)
    now, result = 0.0, []
    for number in range(count):
        now += random.expovariate(rate)
        tenant = random.randrange(len(tenants))
        result.append(Asked(number, now, now + tenants[tenant].deadline, tenant))
    return result


def play(
    make: Callable[[], Scheduler], lanes: int, tenants: Sequence[Architecture], asked: Sequence[Asked], allowed: int
) -> Outcome:
    """Offer the requests to a new scheduler; ends early once more than `allowed` were not answered in time.

    `lanes`: launches on the device at once. They slow each other down as the model says, each as if all were of its
    own kind.
    """
    scheduler = make()
    known = _tenants(tenants)
    for tenant in known:
        scheduler.add(tenant)
    running: list[_Running] = []
    now, place, good, bad, launches, problems = 0.0, 0, 0, 0, 0, 0
    while bad <= allowed and (place < len(asked) or running or not scheduler.idle):
        rates = [1 / one.architecture.slowing(len(running)) if lanes > 1 else 1.0 for one in running]
        ends = [now + one.left / rate for one, rate in zip(running, rates, strict=True)]
        arrival = asked[place].arrival if place < len(asked) else NEVER
        tick = min(now + TICK, max(now, scheduler.wake_at)) if len(running) < lanes and not scheduler.idle else NEVER
        then = min(arrival, tick, *ends)
        finished = [one for one, end in zip(running, ends, strict=True) if end <= then]
        for one, rate in zip(running, rates, strict=True):
            one.left -= (then - now) * rate
        now = then
        for one in finished:
            running.remove(one)
            if scheduler.launched(one.launch, one.alone):
                requests = [request for stream in one.launch.group.streams for request in stream.requests]
                in_time = sum(request.deadline >= now for request in requests)
                good += in_time
                bad += len(requests) - in_time
        while place < len(asked) and asked[place].arrival <= now:
            scheduler.submit(known[asked[place].tenant], asked[place])
            place += 1
        bad += len(scheduler.shed(now))
        while len(running) < lanes and (launch := scheduler.step(now)) is not None:
            started = _start(launch)
            running.append(started)
            launches += 1
            problems += len(launch.group.streams)
    return Outcome(len(asked), good, launches, problems)


def _start(launch: Launch) -> _Running:
    executable = launch.group.executable
    architecture = executable.body
    assert isinstance(architecture, Architecture)
    seconds = architecture.seconds(executable.rows, len(launch.group.streams), launch.begin, launch.end)
    return _Running(launch, architecture, seconds, seconds)


def _tenants(architectures: Sequence[Architecture]) -> list[Tenant]:
    """A tenant each, of one tier; those of one architecture share its executables."""
    shared = {one: one.executables() for one in set(architectures)}
    made = []
    for number, architecture in enumerate(architectures):
        tier = Tier("only", shared[architecture][0].cost.expected(1))
        tier.buckets[0] = shared[architecture]
        made.append(Tenant(number, architecture.deadline, QUEUE_LIMIT, [tier]))
    return made
