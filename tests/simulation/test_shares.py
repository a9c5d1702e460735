"""Shares of a device follow a step in load at once, up and down, and take nobody's deadline."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from treadle.bench.scheduling.world import Asked
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import SpaceTime

SERVICE = 0.01  # seconds, whoever asks
SHARES = (0.0, 1.0)
UP, DOWN, END = 10.0, 20.0, 30.0  # when the load of B rises, when it falls, when all ends
WINDOW = 0.5


def rate(tenant: str, now: float) -> float:
    """Requests a second: A wants 40 % of the device, C a tenth, and B for ten seconds four times what there is."""
    return {"A": 40.0, "C": 10.0}.get(tenant, 400.0 if UP <= now < DOWN else 10.0)


def made(key: int, deadline: float) -> Tenant:
    tier = Tier("only", SERVICE)
    cost = CostModel.line(SERVICE, 0.0)
    tier.buckets[0] = [Executable(f"model {key}", 1, SHARES, mergeable=False, cost=cost, capacity=8)]
    return Tenant(key, deadline, 1000, [tier])


class Played:
    """Thirty seconds; `used`: device seconds by tenant and window, `good` and `sent`: requests by tenant."""

    def __init__(self) -> None:
        random = Random(11)
        self.tenants = {"A": made(0, 0.2), "B": made(1, 0.1), "C": made(2, 0.2)}
        self.names = dict(enumerate(self.tenants))
        self.used: Counter[tuple[str, int]] = Counter()
        self.good: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        arrivals = []
        for name in self.tenants:
            now = random.expovariate(rate(name, 0.0))
            while now < END:
                arrivals.append((now, name))
                now += random.expovariate(rate(name, now))
        self._play(sorted(arrivals))

    def _play(self, arrivals: list[tuple[float, str]]) -> None:
        scheduler = SpaceTime(max_problems=8, quantum=0.02)
        for tenant in self.tenants.values():
            scheduler.add(tenant)
        now, place = 0.0, 0
        while place < len(arrivals) or not scheduler.idle:
            while place < len(arrivals) and arrivals[place][0] <= now:
                at, name = arrivals[place]
                tenant = self.tenants[name]
                scheduler.submit(tenant, Asked(place, at, at + tenant.deadline, tenant.id))
                self.sent[name] += 1
                place += 1
            scheduler.shed(now)
            launch = scheduler.step(now)
            if launch is None:
                now = max(now + 1e-4, min(scheduler.wake_at, arrivals[place][0] if place < len(arrivals) else END))
                continue
            [stream] = launch.group.streams
            name = self.names[stream.tenant.id]
            self.used[name, int(now / WINDOW)] += SERVICE
            now += SERVICE
            scheduler.launched(launch, SERVICE)
            self.good[name] += sum(request.deadline >= now for request in stream.requests)

    def share(self, name: str, begin: float, end: float) -> float:
        """Of the device, over the windows from `begin` to `end` seconds."""
        windows = range(int(begin / WINDOW), int(end / WINDOW))
        return sum(self.used[name, window] for window in windows) / (end - begin)


@pytest.fixture(scope="module")
def played() -> Played:
    return Played()


def test_before_the_step_each_has_what_it_asks_for(played: Played) -> None:
    assert [played.share(name, 1.0, UP) for name in "ABC"] == pytest.approx([0.4, 0.1, 0.1], abs=0.05)


def test_who_asks_for_more_gets_what_is_left_within_a_second_and_no_more(played: Played) -> None:
    assert played.share("B", UP + 1.0, UP + 2.0) == pytest.approx(0.5, abs=0.12)
    assert [played.share(name, UP + 1.0, DOWN) for name in "ABC"] == pytest.approx([0.4, 0.5, 0.1], abs=0.05)


def test_what_it_needs_no_more_is_free_within_a_second(played: Played) -> None:
    assert played.share("B", DOWN + 1.0, DOWN + 2.0) < 0.25
    assert [played.share(name, DOWN + 1.0, END) for name in "ABC"] == pytest.approx([0.4, 0.1, 0.1], abs=0.05)


def test_nobody_else_loses_a_deadline_by_it(played: Played) -> None:
    assert played.good["A"] / played.sent["A"] >= 0.98
    assert played.good["C"] / played.sent["C"] >= 0.98
