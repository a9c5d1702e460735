"""Tier choice and the four modes, step by step, under a clock that the test turns."""

from dataclasses import dataclass

import pytest

from treadle_agent.policy.comparators import Exclusive, Spatial, TimeSliced
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Launch, Scheduler, SpaceTime
from treadle_agent.policy.switching import choose_tier


@dataclass(frozen=True)
class Asked:
    request: int
    deadline: float = 1.0
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0
    arrival: float = 0.0


def executable(name: str, rows: int = 1, seconds: float = 0.001, kernels: int = 4) -> Executable:
    shares = tuple(index / kernels for index in range(kernels + 1))
    return Executable(name, rows, shares, mergeable=True, cost=CostModel.line(seconds, 0.0), capacity=8)


def tenant(key: int, *tiers: tuple[float, Executable], deadline: float = 1.0) -> Tenant:
    made = []
    for index, (service, kernel) in enumerate(tiers):
        tier = Tier(f"t{index}", service)
        tier.buckets[0] = [kernel]
        made.append(tier)
    return Tenant(key, deadline, 100, made)


SLOW, FAST = executable("slow", seconds=0.1), executable("fast", seconds=0.01)


def two_tiers() -> Tenant:
    return tenant(1, (0.1, SLOW), (0.01, FAST))


def test_the_most_accurate_tier_that_fits_is_chosen() -> None:
    one = two_tiers()
    assert choose_tier(one, Asked(1, deadline=1.0), 0.0, 0.0) == 0
    assert choose_tier(one, Asked(1, deadline=1.0), 0.95, 0.0) == 1  # 0.05 s of slack
    assert choose_tier(one, Asked(1, deadline=1.0), 0.0, 0.75) == 1  # 0.75 s ahead of it: more than 0.8 D with 0.1


def test_up_needs_more_room_than_staying() -> None:
    one = two_tiers()
    one.current = 1
    assert choose_tier(one, Asked(1), 0.0, 0.35) == 1  # 0.45 s: fits 0.8 D, not 0.4 D
    assert choose_tier(one, Asked(1), 0.0, 0.25) == 0
    one.current = 0
    assert choose_tier(one, Asked(1), 0.0, 0.35) == 0


def test_a_pinned_tier_is_kept_by_tenant_and_by_request() -> None:
    one = two_tiers()
    assert choose_tier(one, Asked(1, deadline=0.01, tier=0), 0.0, 9.0) == 0
    one.pinned = 1
    assert choose_tier(one, Asked(1, tier=0), 0.0, 0.0) == 1


def test_where_no_tier_fits_the_fastest_answers() -> None:
    assert choose_tier(two_tiers(), Asked(1, deadline=1.0), 0.0, 50.0) == 1


def finish(scheduler: Scheduler, launch: Launch, seconds: float = 0.001) -> bool:
    launch.group.place = "device"
    return scheduler.launched(launch, seconds)


def drain(scheduler: Scheduler, limit: int = 1000) -> list[Launch]:
    launches = []
    while (launch := scheduler.step(0.0)) is not None:
        launches.append(launch)
        finish(scheduler, launch)
        assert len(launches) < limit
    assert scheduler.idle
    return launches


def answered(launches: list[Launch]) -> list[int]:
    last = [one for one in launches if one.end == one.group.executable.length]
    return [request.request for one in last for stream in one.group.streams for request in stream.requests]


def space_time() -> SpaceTime:
    return SpaceTime(max_problems=8, quantum=1.0)


def fill(scheduler: Scheduler, shared: Executable, tenants: int, each: int = 1) -> list[Tenant]:
    made = [tenant(key, (0.001, shared)) for key in range(tenants)]
    for one in made:
        scheduler.add(one)
        for index in range(each):
            scheduler.submit(one, Asked(one.id * 100 + index, deadline=1.0 + one.id / 100))
    return made


@pytest.mark.parametrize(
    "scheduler",
    [space_time(), Exclusive(max_problems=8), TimeSliced(max_problems=8), Spatial(max_problems=8)],
    ids=lambda one: type(one).__name__,
)
def test_every_mode_answers_each_request_once(scheduler: Scheduler) -> None:
    fill(scheduler, executable("shared"), tenants=12, each=3)
    requests = answered(drain(scheduler))
    assert sorted(requests) == sorted(key * 100 + index for key in range(12) for index in range(3))


def test_space_time_merges_what_shares_an_executable_and_nothing_else() -> None:
    scheduler = space_time()
    fill(scheduler, executable("one"), tenants=3)
    stranger = tenant(50, (0.001, executable("other")))
    scheduler.add(stranger)
    scheduler.submit(stranger, Asked(5000, deadline=5.0))
    first, second = drain(scheduler)
    assert len(first.group.streams) == 3
    assert [stream.tenant for stream in second.group.streams] == [stranger]


def test_time_slices_take_turns_kernel_by_kernel_and_never_merge() -> None:
    scheduler = TimeSliced(max_problems=8)
    fill(scheduler, executable("shared"), tenants=2)
    launches = drain(scheduler)
    assert [len(one.group.streams) for one in launches] == [1] * 8
    assert [one.group.streams[0].tenant.id for one in launches] == [0, 1] * 4


@pytest.mark.parametrize("mode", [Exclusive, TimeSliced, Spatial])
def test_a_flood_of_one_tenant_does_not_keep_the_others_waiting(mode: type[Scheduler]) -> None:
    scheduler = mode(max_problems=2)
    first, second, third = fill(scheduler, executable("shared"), tenants=3, each=50)
    begun: list[Tenant] = []
    running: list[Launch] = []
    while len(begun) < 30:
        while len(running) < 2 and (launch := scheduler.step(0.0)) is not None:  # two threads
            running.append(launch)
            if launch.begin == 0:
                begun.append(launch.group.streams[0].tenant)
        finish(scheduler, running.pop(0))
    assert min(begun.count(one) for one in (first, second, third)) >= 9


def test_exclusive_batches_one_tenant_and_runs_its_model_whole() -> None:
    scheduler = Exclusive(max_problems=8)
    made = fill(scheduler, executable("one"), tenants=2, each=4)
    for one in made:
        one.tiers[0].buckets[0] = [executable("wide", rows=4)]
    launches = drain(scheduler)
    assert [(one.begin, one.end, len(one.group.streams[0].requests)) for one in launches] == [(0, 4, 4)] * 2


def test_space_runs_one_request_of_each_tenant_at_a_time() -> None:
    scheduler = Spatial(max_problems=8)
    fill(scheduler, executable("shared"), tenants=3, each=2)
    running = []
    while (launch := scheduler.step(0.0)) is not None:
        running.append(launch)
    assert [one.group.streams[0].tenant.id for one in running] == [0, 1, 2]
    finish(scheduler, running[1])
    again = scheduler.step(0.0)
    assert again is not None
    assert again.group.streams[0].tenant.id == 1


def test_a_more_urgent_request_goes_first_between_two_runs() -> None:
    scheduler = SpaceTime(max_problems=8, quantum=0.01)
    long = tenant(1, (0.4, executable("long", seconds=0.4, kernels=40)), deadline=9.0)
    urgent = tenant(2, (0.001, executable("short")), deadline=0.1)
    scheduler.add(long)
    scheduler.add(urgent)
    scheduler.submit(long, Asked(1, deadline=9.0))
    run = scheduler.step(0.0)
    assert run is not None
    assert (run.begin, run.end) == (0, 1)
    finish(scheduler, run)
    scheduler.submit(urgent, Asked(2, deadline=0.11))
    preempting = scheduler.step(0.01)
    assert preempting is not None
    assert preempting.group.streams[0].tenant is urgent
    assert scheduler.launched(preempting, 0.001)
    resumed = scheduler.step(0.02)
    assert resumed is not None
    assert (resumed.begin, resumed.end, resumed.group) == (1, 2, run.group)


def test_a_tenant_without_a_program_yet_holds_up_nobody() -> None:
    scheduler = space_time()
    unready = tenant(1, (0.001, executable("missing")))
    unready.tiers[0].buckets.clear()
    ready = tenant(2, (0.001, executable("there")))
    for one, deadline in ((unready, 0.5), (ready, 5.0)):
        scheduler.add(one)
        scheduler.submit(one, Asked(one.id, deadline=deadline))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert launch.group.streams[0].tenant is ready


def test_padding_of_a_super_kernel_stays_within_a_quarter() -> None:
    scheduler = space_time()
    wide = executable("wide", rows=4)
    made = [tenant(key, (0.001, wide)) for key in range(6)]
    for one, rows in zip(made, (4, 4, 3, 4, 1, 1), strict=True):
        scheduler.add(one)
        scheduler.submit(one, Asked(one.id, deadline=1.0 + one.id, rows=rows))
    launch = scheduler.step(0.0)
    assert launch is not None
    rows = sum(stream.rows for stream in launch.group.streams)
    assert rows >= 0.75 * 4 * len(launch.group.streams)
    assert len(launch.group.streams) == 5  # a sixth would pad 7 of 24 rows
    assert len(answered(drain_after(scheduler, launch))) == 6


def drain_after(scheduler: Scheduler, launch: Launch) -> list[Launch]:
    finish(scheduler, launch)
    return [launch, *drain(scheduler)]


def test_the_device_never_holds_more_problems_than_it_has_room_for() -> None:
    scheduler = SpaceTime(max_problems=64, quantum=1.0)
    fill(scheduler, executable("shared"), tenants=20)
    launch = scheduler.step(0.0)
    assert launch is not None
    assert len(launch.group.streams) == 8


def test_a_batch_is_no_larger_than_the_slack_of_its_first_request_allows() -> None:
    for slack, rows in ((1.0, 8), (0.05, 4), (0.015, 1)):
        scheduler = SpaceTime(max_problems=8, quantum=1.0)
        one = tenant(1, (0.01, executable("one")))
        one.tiers[0].buckets[0] = [executable(f"{rows}", rows, seconds=0.01 * rows) for rows in (1, 2, 4, 8)]
        scheduler.add(one)
        for index in range(9):
            scheduler.submit(one, Asked(index, deadline=slack + index / 1000))
        launch = scheduler.step(0.0)
        assert launch is not None
        assert launch.group.executable.rows == rows


def test_company_is_no_larger_than_the_most_urgent_request_allows() -> None:
    shared = Executable("shared", 1, (0.0, 1.0), mergeable=True, cost=CostModel.line(0.0, 0.01), capacity=8)
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    for one in fill(scheduler, shared, tenants=6):
        one.pop()
        scheduler.cancel(one, -1)
        scheduler.submit(one, Asked(one.id, deadline=0.035 if one.id == 0 else 1.0))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert len(launch.group.streams) == 3  # a fourth would make the first one late


def test_a_tier_that_merges_with_others_is_cheaper_and_is_kept_longer() -> None:
    chosen = {}
    for company in (1, 8):
        scheduler, shared = SpaceTime(max_problems=8, quantum=1.0), executable("shared", seconds=0.1)
        made = [tenant(key, (0.1, shared), (0.01, FAST)) for key in range(company)]
        for one in made:
            one.pinned = 0
            scheduler.add(one)
            for index in range(30):
                scheduler.submit(one, Asked(100 * one.id + index, deadline=1e6))
        while (launch := scheduler.step(0.0)) is not None:
            finish(scheduler, launch, seconds=0.1)
        made[0].pinned, made[0].rows = -1, 9
        chosen[company] = choose_tier(made[0], Asked(1), 0.0, 0.0)
    assert chosen == {1: 1, 8: 0}  # eight before it take 0.8 s one by one, 0.1 s merged with seven others' each


def test_a_tenant_that_does_not_join_does_not_switch() -> None:
    shared = executable("shared", seconds=0.4)
    urgent, calm = tenant(1, (0.4, shared), deadline=0.5), tenant(2, (0.1, SLOW), (0.01, shared))
    scheduler = space_time()
    for one, deadline in ((urgent, 0.5), (calm, 1.0)):
        scheduler.add(one)
        scheduler.submit(one, Asked(one.id, deadline=deadline))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert [stream.tenant for stream in launch.group.streams] == [urgent]
    assert (calm.current, calm.downs) == (0, 0)


def test_holding_finishes_what_runs_and_begins_nothing() -> None:
    scheduler = SpaceTime(max_problems=8, quantum=0.0)
    fill(scheduler, executable("shared"), tenants=1, each=2)
    launch = scheduler.step(0.0)
    assert launch is not None
    finish(scheduler, launch)
    scheduler.holding = True
    while (launch := scheduler.step(0.0)) is not None:
        finish(scheduler, launch)
    assert scheduler.groups == []
    assert not scheduler.idle


def test_costs_follow_what_is_observed() -> None:
    cost = CostModel.line(0.0, 0.01)
    for _ in range(200):
        cost.observe(4, 1.0, 0.06)
    assert cost.expected(4) == pytest.approx(0.06, rel=0.02)
    cost.observe(4, 1.0, 60.0)
    assert cost.expected(4) < 0.1  # one preempted launch does not make a model unusable


def test_what_was_slow_once_is_tried_again() -> None:
    scheduler = space_time()
    (one,) = fill(scheduler, executable("one"), tenants=1, each=200)
    while (launch := scheduler.step(0.0)) is not None:
        finish(scheduler, launch, seconds=0.004)
    slow = one.tiers[0].service
    assert slow > 0.003
    for second in range(60):
        scheduler.shed(float(second))
    assert one.tiers[0].service == pytest.approx(0.001, rel=0.01)
    assert one.tiers[0].row_seconds == pytest.approx(0.001, rel=0.05)


def test_a_large_shape_does_not_make_requests_of_small_ones_hopeless() -> None:
    scheduler = space_time()
    one = tenant(1, (0.001, executable("small")))
    one.tiers[0].buckets[1] = [executable("large", seconds=5.0)]
    scheduler.add(one)
    scheduler.submit(one, Asked(1, deadline=9.0, binding=1))
    assert answered(drain(scheduler)) == [1]
    for second in range(3):
        scheduler.submit(one, Asked(2 + second, deadline=second + 1.0))
        assert scheduler.shed(float(second)) == []
        assert answered(drain(scheduler)) == [2 + second]


def test_a_run_fits_the_quantum_and_is_never_empty() -> None:
    kernel = executable("k", seconds=0.010, kernels=10)
    assert kernel.run_end(0, 1, quantum=0.0035) == 3
    assert kernel.run_end(0, 1, quantum=0.0) == 1
    assert kernel.run_end(8, 1, quantum=9.0) == 10
