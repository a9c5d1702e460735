"""Seeded loads through the real policies on a fake clock: every request ends once, none that is doomed is begun."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from treadle_agent.policy.comparators import Exclusive, Spatial, TimeSliced
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Launch, Scheduler, SpaceTime

KERNELS = 5
MODES: dict[str, Callable[[], Scheduler]] = {
    "exclusive": lambda: Exclusive(max_problems=16),
    "time": lambda: TimeSliced(max_problems=16),
    "space": lambda: Spatial(max_problems=16),
    "space-time": lambda: SpaceTime(max_problems=16, quantum=0.002),
}


@dataclass(frozen=True)
class Asked:
    request: int
    arrival: float
    deadline: float
    rows: int
    priority: int
    tier: int = -1
    forbidden: int = 0
    binding: int = 0


def architecture(seconds: float) -> list[Executable]:
    shares = tuple(index / KERNELS for index in range(KERNELS + 1))
    return [
        Executable(
            f"rows-{rows}",
            rows,
            shares,
            mergeable=True,
            cost=CostModel.line(seconds, 0.1 * seconds * rows),
            capacity=32,
        )
        for rows in (1, 2, 4, 8)
    ]


def tenants(source: random.Random) -> list[Tenant]:
    families = [[architecture(seconds) for seconds in (0.010, 0.004, 0.001)] for _ in range(2)]
    made = []
    for key in range(source.randint(2, 20)):
        tiers = []
        for index, executables in enumerate(source.choice(families)):
            tier = Tier(f"t{index}", executables[0].cost.expected(1))
            tier.buckets[0] = executables
            tiers.append(tier)
        made.append(Tenant(key, source.choice([0.03, 0.1, 0.5]), 50, tiers))
    return made


class Device:
    """Runs launches on a fake clock, several at a time in space mode."""

    def __init__(self, scheduler: Scheduler, source: random.Random, lanes: int) -> None:
        self.scheduler = scheduler
        self.source = source
        self.lanes = lanes
        self.running: list[tuple[float, int, Launch, float]] = []
        self.started: dict[int, float] = {}
        self.ended: dict[int, str] = {}
        self.late = 0
        self.count = 0

    def end(self, request: int, how: str) -> None:
        assert request not in self.ended, "answered twice"
        self.ended[request] = how

    def step(self, now: float) -> None:
        for _, late in self.scheduler.shed(now):
            self.end(late.request, "shed")
        while len(self.running) < self.lanes and (launch := self.scheduler.step(now)) is not None:
            group = launch.group
            if launch.begin == 0:
                for stream in group.streams:
                    assert stream.rows <= group.executable.rows
                    for request in stream.requests:
                        # Time slices let requests join the line first; they were not doomed then.
                        doomed = request.deadline < now + stream.tenant.fastest()
                        assert not doomed or isinstance(self.scheduler, TimeSliced), "a doomed request was begun"
                        self.started[request.request] = now
            share = group.executable.shares[launch.end] - group.executable.shares[launch.begin]
            seconds = share * group.executable.cost.expected(len(group.streams)) * self.source.uniform(0.9, 1.1)
            self.count += 1
            heapq.heappush(self.running, (now + seconds, self.count, launch, seconds))

    def finish(self) -> float:
        now, _, launch, seconds = heapq.heappop(self.running)
        if self.scheduler.launched(launch, seconds):
            for stream in launch.group.streams:
                for request in stream.requests:
                    self.end(request.request, "done")
                    self.late += request.deadline < now
        return now


def play(mode: str, seed: int, share: float) -> tuple[Device, int, int]:
    """Offer `share` of what one tenant after another could carry, for two seconds; returns what was full, too."""
    source = random.Random(f"{mode} {seed}")
    scheduler, made = MODES[mode](), tenants(source)
    for tenant in made:
        scheduler.add(tenant)
    device = Device(scheduler, source, lanes=4 if mode == "space" else 1)
    now, arrival, sent, full = 0.0, 0.0, 0, 0
    while arrival < 2.0 or device.running or not scheduler.idle:
        due = device.running[0][0] if device.running else float("inf")
        if arrival < 2.0 and arrival <= due:
            now = arrival
            tenant = source.choice(made)
            request = Asked(
                sent, now, now + tenant.deadline, source.choice([1, 1, 1, 2, 5]), source.choice([0, 0, 1, 2])
            )
            sent += 1
            if not scheduler.submit(tenant, request):
                full += 1
            arrival += source.expovariate(share / 0.004)
        elif device.running:
            now = device.finish()
        else:
            now += 0.001  # only time can end what waits
        device.step(now)
    return device, sent, full


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("share", [0.3, 1.0, 5.0])
def test_every_request_ends_exactly_once(mode: str, share: float) -> None:
    for seed in range(5):
        device, sent, full = play(mode, seed, share)
        assert len(device.ended) + full == sent


def test_under_overload_space_time_answers_more_in_time_than_turns_do() -> None:
    good = {}
    for mode in ("exclusive", "time", "space-time"):
        played = [play(mode, seed, share=20.0)[0] for seed in range(3)]
        good[mode] = sum(sum(how == "done" for how in one.ended.values()) - one.late for one in played)
    assert good["space-time"] > 1.25 * max(good["exclusive"], good["time"]), good


def test_quiet_tenants_get_the_most_accurate_tier_and_crowded_ones_a_faster_one() -> None:
    quiet, _, _ = play("space-time", 1, share=0.05)
    crowded, _, _ = play("space-time", 1, share=5.0)
    switched = [sum(tenant.downs for tenant in device.scheduler.tenants.values()) for device in (quiet, crowded)]
    assert switched[0] < switched[1]
