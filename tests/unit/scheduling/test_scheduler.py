"""Order, doom and shares in the scheduler, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.bench.scheduling.play import play
from treadle.bench.scheduling.world import tenants, world
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Group, Launch, SpaceTime
from treadle_agent.policy.waiting import Waiting


def test_the_earliest_slack_goes_first_not_the_earliest_deadline(make: Any) -> None:
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    long = make.tenant(1, make.executable("long", fixed=0.5, each=0.0))
    short = make.tenant(2, make.executable("short", fixed=0.01, each=0.0))
    for tenant, deadline in ((long, 1.0), (short, 0.9)):
        scheduler.add(tenant)
        scheduler.submit(tenant, make.asked(tenant.id, deadline=deadline))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert launch.group.streams[0].tenant is long


def test_a_decision_does_not_wait_for_what_it_takes_to_be_noted(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, kernel = SpaceTime(max_problems=8, quantum=1.0), make.executable()
    for key in (1, 2):
        tenant = make.tenant(key, kernel)
        scheduler.add(tenant)
        scheduler.submit(tenant, make.asked(key))
    noted: list[int] = []
    note = Waiting.note
    monkeypatch.setattr(Waiting, "note", lambda waiting, one: (noted.append(one.id), note(waiting, one)))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert [stream.tenant.id for stream in launch.group.streams] == [1, 2]
    assert noted == []
    scheduler.settle()
    assert noted == [1, 2]
    assert [stream.alone for stream in launch.group.streams] == [kernel.cost.expected(1)] * 2


class Prompt(SpaceTime):
    """Notes at once what a launch takes."""

    def step(self, now: float) -> Launch | None:
        launch = super().step(now)
        self.settle()
        return launch


def test_what_a_launch_takes_may_be_noted_at_once_or_when_it_is_needed() -> None:
    for seed in (4, 7):  # worlds in which it tells, when what was learnt of the costs is noted before
        played = []
        for way in (SpaceTime, Prompt):
            here = world(seed, 600)
            made, scheduler = tenants(here), way(max_problems=64, quantum=0.002)
            for tenant in made:
                scheduler.add(tenant)
            played.append(play(scheduler, made, here.asked, error=0.2))
        assert played[0] == played[1]


def test_a_groups_window_says_when_its_rest_may_run(make: Any) -> None:
    kernel = make.executable(fixed=0.4, each=0.0)
    group = Group(kernel, [object()], 1, deadline=2.0, started=0.5)  # type: ignore[list-item]
    assert group.window == pytest.approx((0.5, 1.7, 0.3))
    assert group.slack(1.5) == pytest.approx(0.2)
    assert group.slack(1.8) == pytest.approx(-0.1)


def test_what_cannot_be_in_time_with_its_rows_is_not_begun_but_shed(make: Any) -> None:
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    tenant = make.tenant(1, make.executable("1", 1, 0.0, 0.1), make.executable("8", 8, 0.0, 0.8), deadline=0.1)
    scheduler.add(tenant)
    scheduler.submit(tenant, make.asked(1, deadline=0.5, rows=8))
    scheduler.submit(tenant, make.asked(2, deadline=0.6, rows=1))
    assert scheduler.shed(0.0) == []  # one row would be in time
    assert scheduler.step(0.0) is None
    assert scheduler.wake_at == 0.0
    assert not scheduler.idle
    assert [request.request for _, request in scheduler.shed(0.0)] == [1]
    launch = scheduler.step(0.0)
    assert launch is not None
    assert [request.request for request in launch.group.streams[0].requests] == [2]


@pytest.mark.parametrize(("waited", "answers"), [(0.0, "accurate"), (0.6, "quick")])
def test_the_tier_is_chosen_when_a_request_is_begun_not_when_it_comes(make: Any, waited: float, answers: str) -> None:
    accurate, quick = Tier("accurate", 0.5), Tier("quick", 0.1)
    accurate.buckets[0] = [make.executable("accurate", fixed=0.5, each=0.0)]
    quick.buckets[0] = [make.executable("quick", fixed=0.1, each=0.0)]
    tenant = Tenant(1, 1.0, 100, [accurate, quick])
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    scheduler.add(tenant)
    scheduler.submit(tenant, make.asked(1, deadline=1.0))
    launch = scheduler.step(waited)
    assert launch is not None
    assert launch.group.executable.name == answers


def test_where_the_chosen_tier_would_be_late_the_quickest_answers(make: Any) -> None:
    slow, fast = Tier("slow", 0.01), Tier("fast", 0.02)
    slow.buckets[0] = [make.executable("a", 1, 0.01, 0.0), make.executable("b", 4, 0.5, 0.0)]
    fast.buckets[0] = [make.executable("c", 1, 0.02, 0.0), make.executable("d", 4, 0.1, 0.0)]
    tenant = Tenant(1, 1.0, 100, [slow, fast])
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    scheduler.add(tenant)
    scheduler.submit(tenant, make.asked(1, deadline=0.3, rows=3))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert launch.group.executable.name == "d"


def test_requests_that_a_batch_would_make_late_are_left_out_of_it(make: Any) -> None:
    tenant = make.tenant(1, make.executable("1", 1, 0.1, 0.0), make.executable("2", 2, 0.3, 0.0))
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    scheduler.add(tenant)
    scheduler.submit(tenant, make.asked(1, deadline=2.0, priority=1))  # goes first, has time
    scheduler.submit(tenant, make.asked(2, deadline=0.25))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert [request.request for request in launch.group.streams[0].requests] == [1]


def offer(make: Any, weight: float, flood: float, seconds: float = 20.0) -> tuple[float, float]:
    """A steady tenant beside one that floods with tighter deadlines: the shares of their requests in time."""
    scheduler = SpaceTime(max_problems=8, quantum=0.02)
    steady = make.tenant(1, make.executable("steady", 1, 0.01, 0.0), deadline=0.2, weight=weight)
    flooding = make.tenant(2, make.executable("flood", 1, 0.01, 0.0), deadline=0.1)
    for tenant in (steady, flooding):
        scheduler.add(tenant)
    events = [(index / 40.0, steady) for index in range(int(seconds * 40))]
    events += [(index / flood, flooding) for index in range(int(seconds * flood))]
    events.sort(key=lambda event: event[0])
    now, place, good = 0.0, 0, {1: 0, 2: 0}
    while place < len(events) or not scheduler.idle:
        while place < len(events) and events[place][0] <= now:
            at, tenant = events[place]
            scheduler.submit(tenant, make.asked(place, at, at + tenant.deadline))
            place += 1
        scheduler.shed(now)
        launch = scheduler.step(now)
        if launch is None:
            now = max(now + 1e-4, events[place][0] if place < len(events) else 0.0)
            continue
        now = make.finish(scheduler, launch, now)
        if launch.end == launch.group.executable.length:
            for stream in launch.group.streams:
                good[stream.tenant.id] += sum(request.deadline >= now for request in stream.requests)
    return good[1] / (seconds * 40), good[2] / (seconds * flood)


def test_a_tenant_that_floods_cannot_take_anothers_deadline(make: Any) -> None:
    steady, flooding = offer(make, weight=1.0, flood=400.0)  # 40 % of the device, and four times what it can do
    assert steady > 0.98
    assert flooding == pytest.approx(0.6 / 4, abs=0.02)  # it gets all of the rest


@pytest.mark.parametrize(("weight", "share"), [(0.25, 0.2), (0.5, 1 / 3)])
def test_weight_decides_where_two_want_more_than_there_is(make: Any, weight: float, share: float) -> None:
    light, _ = offer(make, weight=weight, flood=400.0)  # it wants 40 % of the device
    assert light == pytest.approx(share / 0.4, abs=0.08)
