"""Many random worlds, each played with deliberate delays and without."""

from __future__ import annotations

from collections.abc import Callable

from treadle.bench.scheduling.forks import Forks
from treadle.bench.scheduling.play import Played, play
from treadle.bench.scheduling.report import Plays
from treadle.bench.scheduling.world import tenants, world
from treadle_agent.policy.scheduling import SpaceTime

ERRORS = (0.0, 0.2)  # of the estimates
WORLD = 2000  # requests
EVERY = 3  # delays to one that is looked into
MAX_PROBLEMS, QUANTUM = 64, 0.002  # as an executor has them


def study(requests: int, tell: Callable[[int], None], *, seed: int = 0) -> list[Plays]:
    """Play `requests` requests in all, a quarter of them in each of: delays or none, exact estimates or not.

    Raises:
        BrokenRuleError: see `play`.
    """
    worlds = max(1, round(requests / (2 * len(ERRORS) * WORLD)))
    results = [Plays(error, delays) for error in ERRORS for delays in (True, False)]
    for number in range(worlds):
        for result in results:
            _play(seed + number, result)
        tell(WORLD * len(results))
    return results


def _play(seed: int, result: Plays) -> None:
    played_world = world(seed, WORLD)
    made = tenants(played_world)
    scheduler = SpaceTime(max_problems=MAX_PROBLEMS, quantum=QUANTUM, delays=result.delays)
    for tenant in made:
        scheduler.add(tenant)
    forks = Forks(made, EVERY)
    watch = forks if result.delays and not result.error else None
    played = play(scheduler, made, played_world.asked, error=result.error, seed=seed, delayed=watch)
    _add(result, played, forks)


def _add(result: Plays, played: Played, forks: Forks) -> None:
    result.requests += WORLD
    result.missed += played.missed
    result.late += played.late
    result.launches += played.launches
    result.problems += played.problems
    result.held += played.delays
    result.busy_seconds += played.busy
    result.forks += forks.looked
    result.fork_requests += forks.known
    result.broken += len(forks.broken)
