"""The scheduler over random worlds: the properties of docs/adr/0012-scheduling.md.

A sample; `treadle bench scheduling` plays a million requests. That every request ends exactly once, and that none is
begun that cannot be in time any more, is checked at every step of every play (`play.BrokenRuleError`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

import pytest

from treadle.bench.scheduling import decisions
from treadle.bench.scheduling.decisions import Decisions, best, measure
from treadle.bench.scheduling.forks import Forks, earliest_deadline_first
from treadle.bench.scheduling.play import BrokenRuleError, play
from treadle.bench.scheduling.report import Plays, checks
from treadle.bench.scheduling.study import study
from treadle.bench.scheduling.world import Asked, tenants, world
from treadle_agent.policy.latency import Correction, CostModel, Executable
from treadle_agent.policy.queues import Tenant, Tier
from treadle_agent.policy.scheduling import Launch, SpaceTime
from treadle_agent.policy.stragglers import Stragglers
from treadle_agent.policy.stretch import Stretches

SHARES = tuple(index / 8 for index in range(9))  # of a model of eight equal kernels


@pytest.fixture(scope="module")
def plays() -> list[Plays]:
    return study(64_000, lambda _: None)


def test_no_delay_makes_a_known_request_late(plays: list[Plays]) -> None:
    looked = [one for one in plays if one.forks]
    assert sum(one.forks for one in looked) > 100
    assert sum(one.fork_requests for one in looked) > 200
    assert [one.broken for one in looked] == [0] * len(looked)


def test_delays_cost_at_most_one_miss_more_in_a_thousand(plays: list[Plays]) -> None:
    for error in (0.0, 0.2):
        with_, without = (
            next(one for one in plays if (one.error, one.delays) == (error, way)) for way in (True, False)
        )
        assert with_.held > 100
        assert without.held == 0
        assert with_.missed - without.missed <= 0.001 * with_.requests


def test_delays_make_launches_fuller(plays: list[Plays]) -> None:
    with_, without = plays[0], plays[1]
    assert with_.problems / with_.launches > without.problems / without.launches
    assert with_.busy_seconds < without.busy_seconds


class Reckless(SpaceTime):
    """Holds launches back for as long as company saves, whoever is late then."""

    def _held(self, signature, executable, now):  # type: ignore[no-untyped-def]
        if signature.held_since is None:
            signature.held_since = now
        return now if self.groups or not self.delays else signature.held_since + 10 * executable.cost.expected(1)


def test_forks_notice_a_delay_that_costs_a_promise() -> None:
    broken = 0
    for seed in range(2):
        played = world(seed, 200)
        made = tenants(played)
        scheduler = Reckless(max_problems=64, quantum=0.002)
        for tenant in made:
            scheduler.add(tenant)
        forks = Forks(made, every=1)
        play(scheduler, made, played.asked, delayed=forks)
        broken += len(forks.broken)
    assert broken > 0


class Careless(SpaceTime):
    """Begins what is too late."""

    def _begin_with(self, head, now):  # type: ignore[no-untyped-def]  # noqa: ARG002
        tier = head.tiers[-1]
        executable = tier.buckets[0][-1]
        return self._group([self._begin(head, len(head.tiers) - 1, executable)])


def test_the_player_notices_a_launch_for_a_request_that_is_too_late() -> None:
    def play_all() -> None:
        for seed in range(20):
            played = world(seed, 300, load=3.0)
            made = tenants(played)
            scheduler = Careless(max_problems=64, quantum=0.002)
            for tenant in made:
                scheduler.add(tenant)
            play(scheduler, made, played.asked)

    with pytest.raises(BrokenRuleError, match="could not be in time"):
        play_all()


def test_earliest_deadline_first_by_hand() -> None:
    made = [one_tier(key, 0.010) for key in range(2)]
    for tenant, deadlines in zip(made, ((0.010, 0.030), (0.015, 0.020)), strict=True):
        for index, deadline in enumerate(deadlines):
            tenant.push(Asked(tenant.id * 10 + index, 0.0, deadline, tenant.id))
    assert earliest_deadline_first(made, 0.0) == {0, 11, 1}  # request 10 would end at 20 ms, and is left out


def test_checks_say_what_is_missed() -> None:
    ways = [Plays(0.0, way, requests=1000, missed=missed) for way, missed in ((True, 12), (False, 10))]
    ways[0].forks, ways[0].broken = 5, 1
    quick, slow = Decisions(64, 256, 1e-6, 40e-6, 4.0, 50e-6), Decisions(1000, 4000, 1e-6, 10.0, 4.0, 10.0)
    found = {check.name: check.reached for check in checks(ways, [quick, slow])}
    assert found == {
        "delay-known": False,
        "delay-misses-0": False,
        "decision-p99": True,
        "decision-growth": False,
    }


def test_a_decision_grows_no_faster_than_n_log_n(plays: list[Plays]) -> None:
    """How long it takes is for a machine that has nothing else to do: `make executor`."""
    few, many = measure(64, 256), measure(1000, 4000)
    found = {check.name: check for check in checks(plays, [few, many])}
    assert found["decision-growth"].reached, found["decision-growth"].measured
    assert few.p50 < few.p99 < few.turn_p99
    assert few.p50 < 500e-6


def test_the_best_run_is_told_and_how_the_others_were(monkeypatch: pytest.MonkeyPatch) -> None:
    p99s = iter((60e-6, 90e-6, 42e-6, 99e-6, 45e-6, 80e-6, 44e-6, 95e-6, 90e-6, 97e-6))
    monkeypatch.setattr(decisions, "measure", lambda *size: Decisions(*size, 1e-6, next(p99s), 3.5, 60e-6))
    assert best([(64, 256), (250, 1000)]) == [
        Decisions(64, 256, 1e-6, 42e-6, 3.5, 60e-6, (60e-6, 42e-6, 45e-6, 44e-6, 90e-6)),
        Decisions(250, 1000, 1e-6, 80e-6, 3.5, 60e-6, (90e-6, 99e-6, 80e-6, 95e-6, 97e-6)),
    ]


def one_tier(key: int, seconds: float, shared: list[Executable] | None = None, deadline: float = 1.0) -> Tenant:
    tier = Tier("only", seconds)
    tier.buckets[0] = shared or [Executable("one", 1, (0.0, 1.0), mergeable=True, cost=CostModel.line(seconds, 0.0))]
    return Tenant(key, deadline, 1000, [tier])


class Loop:
    """Nine tenants merged on a device where a launch ends with its slowest problem, under the production scheduler and
    straggler monitor; Poisson arrivals that would keep a quarter of the device busy one by one.
    """

    def __init__(self, seed: int, slow: float) -> None:
        self.random = Random(seed)
        shared = [Executable("one", 1, SHARES, mergeable=True, cost=CostModel.line(0.004, 0.0002), capacity=128)]
        self.tenants = [one_tier(key, 0.0042, shared) for key in range(9)]
        self.slow = slow
        self.scheduler = SpaceTime(max_problems=64, quantum=0.0)  # kernel by kernel
        for tenant in self.tenants:
            self.scheduler.add(tenant)
        self.stretches, self.stragglers = Stretches(), Stragglers()
        self.kernels = 0  # of tenant 0, since it became slow
        self.took: list[float] = []  # seconds from arrival to answer, of the others

    def play(self, requests: int, slow_from: int) -> None:
        now, arrival, place = 0.0, 0.0, 0
        while place < requests or not self.scheduler.idle:
            while place < requests and arrival <= now:
                tenant = self.random.choice(self.tenants)
                self.scheduler.submit(tenant, Asked(place, arrival, arrival + 1.0, tenant.id))
                place += 1
                arrival += self.random.expovariate(60.0)
            assert self.scheduler.shed(now) == []
            launch = self.scheduler.step(now)
            if launch is None:
                now = max(now, min(arrival, self.scheduler.wake_at) if place < requests else self.scheduler.wake_at)
                continue
            now = self.run(launch, now, slow=place >= slow_from)

    def run(self, launch: Launch, now: float, *, slow: bool) -> float:
        group = launch.group
        hit = slow and any(stream.tenant.id == 0 for stream in group.streams)
        cost = group.executable.cost
        seconds = (
            SHARES[1] * cost.profiled(len(group.streams)) * self.random.gauss(1.0, 0.05) * (self.slow if hit else 1.0)
        )
        if hit and not self.stragglers.straggling(0):
            self.kernels += 1
        stretch = self.stretches.observe(group.executable, len(group.streams), SHARES[1], seconds)
        if stretch is not None:
            tenants = [one.tenant.id for one in group.streams]
            for tenant, company in self.stragglers.observe(tenants, stretch, cost.correction):
                self.scheduler.keep_apart(self.tenants[tenant], company)
        now += seconds
        if self.scheduler.launched(launch, seconds):
            for stream in group.streams:
                if stream.tenant.id and slow:
                    self.took += [now - request.arrival for request in stream.requests]
        return now

    @property
    def p99(self) -> float:
        return sorted(self.took)[len(self.took) * 99 // 100]


def test_a_straggler_under_the_real_scheduler_leaves_the_others_their_p99() -> None:
    for seed in range(3):
        calm, disturbed = Loop(seed, slow=1.0), Loop(seed, slow=1.25)
        for loop in (calm, disturbed):
            loop.play(8_000, slow_from=500)
        assert [disturbed.stragglers.straggling(key) for key in range(9)] == [True] + [False] * 8
        assert disturbed.kernels <= 50
        assert not any(calm.stragglers.straggling(key) for key in range(9))
        assert disturbed.p99 <= 1.05 * calm.p99, (disturbed.p99, calm.p99)


ROWS_OF = [4] * 6 + [1, 2, 3, 1, 2, 3]  # of each tenant's requests


def of_four_sizes() -> list[Executable]:
    """Executables of an architecture, as the scheduler believes them to be."""
    correction = Correction()
    costs = {rows: CostModel.line(0.001, 0.0005 * rows, correction) for rows in (1, 2, 4, 8)}
    return [
        Executable(f"{rows}", rows, (0.0, 1.0), mergeable=True, cost=cost, capacity=128) for rows, cost in costs.items()
    ]


def on_line(executable: Executable, problems: int) -> float:
    """The seconds of a device that is as the scheduler believes."""
    return executable.cost.expected(problems)


def off_line(executable: Executable, problems: int) -> float:
    """One that is not: few problems take a fifth longer, many a fifth less, and a row of many less than one alone."""
    return (1.2 - 0.4 * min(problems, 12) / 12) * (0.001 + 0.0005 * executable.rows**0.9 * problems)


@pytest.mark.parametrize("true", [on_line, off_line])
@pytest.mark.parametrize("apart", [0.0, 0.001], ids=["in step", "at random"])
def test_device_time_sums_to_busy_time_and_goes_by_what_each_would_take_alone(
    true: Callable[[Executable, int], float], apart: float
) -> None:
    """Problems of one to four rows in super-kernels, against each tenant's requests run alone on the same device.

    `apart`: seconds by which requests of a round come one after another, so that only some of them merge.
    """
    random = Random(7)
    asked = [
        Asked(12 * turn + key, turn + random.uniform(0.0, 12 * apart), turn + 9.0, key, ROWS_OF[key])
        for turn in range(200)
        for key in range(12)
    ]
    asked.sort(key=lambda one: one.arrival)
    together, busy, launches = spend(range(12), asked, true)
    assert sum(together.values()) == pytest.approx(busy, rel=0.01)
    alone = {key: spend([key], [one for one in asked if one.tenant == key], true)[1] for key in range(12)}
    assert busy < 0.9 * sum(alone.values())  # they were merged
    assert (launches > 2 * 200) == (apart > 0.0)  # and not all of them each time
    for key, seconds in alone.items():
        assert together[key] / busy == pytest.approx(seconds / sum(alone.values()), rel=0.1)


def spend(
    tenants: Iterable[int], asked: list[Asked], true: Callable[[Executable, int], float]
) -> tuple[dict[int, float], float, int]:
    """Device seconds by tenant, and in all, and launches, on a device where these take `true` seconds."""
    shared = of_four_sizes()
    made = {key: one_tier(key, 0.0015, shared, deadline=9.0) for key in tenants}
    scheduler = SpaceTime(max_problems=64, quantum=1.0)
    for tenant in made.values():
        scheduler.add(tenant)
    spent, busy, now, place, launches = dict.fromkeys(made, 0.0), 0.0, 0.0, 0, 0
    while place < len(asked) or not scheduler.idle:
        while place < len(asked) and asked[place].arrival <= now:
            scheduler.submit(made[asked[place].tenant], asked[place])
            place += 1
        assert scheduler.shed(now) == []
        launch = scheduler.step(now)
        if launch is None:
            now = min(asked[place].arrival if place < len(asked) else scheduler.wake_at, scheduler.wake_at)
            continue
        seconds = true(launch.group.executable, len(launch.group.streams))
        now, busy, launches = now + seconds, busy + seconds, launches + 1
        if scheduler.launched(launch, seconds):
            for stream in launch.group.streams:
                spent[stream.tenant.id] += stream.seconds
    return spent, busy, launches
