"""A world through a scheduler, on a simulated clock; every rule that must hold at each step is checked at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from treadle.bench.scheduling.world import Asked
from treadle_agent.policy.queues import FOREVER, Tenant
from treadle_agent.policy.scheduling import Launch, Scheduler

TICK = 1e-3  # seconds between looks at requests that nothing but their deadline will end
ROUNDING = 1e-9  # seconds


class BrokenRuleError(Exception):
    """Raised when the scheduler breaks a rule that it must keep whatever the world is."""


@dataclass(slots=True)
class Played:
    """What became of a world's requests. `late`: answered after the deadline; `delays`: launches held back."""

    late: int = 0
    shed: int = 0
    refused: int = 0
    launches: int = 0
    problems: int = 0
    delays: int = 0
    busy: float = 0.0
    waited: float = 0.0  # seconds from arrival to answer, summed over all that were answered
    met: set[int] = field(default_factory=set, repr=False)  # requests answered in time

    @property
    def missed(self) -> int:
        """Requests that were not answered in time."""
        return self.late + self.shed + self.refused


Watch = Callable[[Scheduler, float], None]


def play(
    scheduler: Scheduler,
    tenants: Sequence[Tenant],
    asked: Sequence[Asked],
    *,
    error: float = 0.0,
    seed: int = 0,
    delayed: Watch | None = None,
    now: float = 0.0,
) -> Played:
    """Offer the requests to a scheduler that may hold some already; ends when nothing waits.

    `error`: each launch takes its expected time, more or less by up to this share. `delayed`: told of each delay.

    Raises:
        BrokenRuleError: a request ended twice or never, or one was begun that could not be in time any more.
    """
    player = _Player(scheduler, tenants, error, seed, delayed)
    player.play(asked, now)
    return player.played


class _Player:
    def __init__(
        self, scheduler: Scheduler, tenants: Sequence[Tenant], error: float, seed: int, delayed: Watch | None
    ) -> None:
        self.scheduler = scheduler
        self.tenants = tenants
        self.error = error
        self.random = Random(seed)
        self.delayed = delayed
        self.played = Played()
        self.open = {request.request for tenant in tenants for request in tenant}
        self.held = False

    def play(self, asked: Sequence[Asked], now: float) -> None:
        scheduler, place = self.scheduler, 0
        while place < len(asked) or not scheduler.idle:
            while place < len(asked) and asked[place].arrival <= now:
                self.submit(asked[place])
                place += 1
            for _, request in scheduler.shed(now):
                self.end(request.request)
                self.played.shed += 1
            launch = scheduler.step(now)
            if launch is not None:
                now = self.run(launch, now)
                continue
            arrival = asked[place].arrival if place < len(asked) else FOREVER
            self.look(now)
            if not scheduler.idle:
                arrival = min(arrival, scheduler.wake_at if scheduler.wake_at < FOREVER else now + TICK)
            elif arrival == FOREVER:
                break
            now = max(now, arrival)
        if self.open:
            raise BrokenRuleError(f"requests {sorted(self.open)[:5]} never ended")

    def submit(self, request: Asked) -> None:
        if self.scheduler.submit(self.tenants[request.tenant], request):
            self.open.add(request.request)
        else:
            self.played.refused += 1

    def look(self, now: float) -> None:
        """The scheduler does nothing: is that a delay?"""
        held = now < self.scheduler.wake_at < FOREVER
        if held:
            self.played.delays += not self.held
            if self.delayed is not None:
                self.delayed(self.scheduler, now)
        self.held = held

    def run(self, launch: Launch, now: float) -> float:
        group, played = launch.group, self.played
        expected = group.executable.cost.expected(len(group.streams))
        if launch.begin == 0:
            group.started = now
            self.check(launch, now + expected)
        share = group.executable.shares[launch.end] - group.executable.shares[launch.begin]
        seconds = share * expected
        if self.error:
            seconds *= self.random.uniform(1 - self.error, 1 + self.error)
        now += seconds
        played.launches += 1
        played.problems += len(group.streams)
        played.busy += seconds
        if self.scheduler.launched(launch, seconds):
            for stream in group.streams:
                for request in stream.requests:
                    self.end(request.request)
                    in_time = now <= request.deadline + ROUNDING
                    played.late += not in_time
                    if in_time:
                        played.met.add(request.request)
                    played.waited += now - request.arrival
        return now

    def check(self, launch: Launch, finish: float) -> None:
        for stream in launch.group.streams:
            for request in stream.requests:
                if request.deadline < finish - ROUNDING:
                    raise BrokenRuleError(f"request {request.request} was begun, and could not be in time any more")

    def end(self, request: int) -> None:
        if request not in self.open:
            raise BrokenRuleError(f"request {request} ended twice, or was never accepted")
        self.open.remove(request)
