"""The study's result as it stands in the JSON file, and what it is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from treadle.bench.kernels.report import Check
from treadle.bench.scheduling.decisions import Decisions
from treadle.bench.serving.report import Machine

MORE_MISSES = 0.001  # of all requests, that delays may cost
DECISION = 50e-6  # seconds, p99, of the first row of decisions


class Plays(msgspec.Struct):
    """Worlds played one way. `error`: of the estimates; `held`: launches held back; `forks`: delays looked into, with
    `fork_requests` waiting then, of which `broken` would have been in time without the delay.
    """

    error: float
    delays: bool
    requests: int = 0
    missed: int = 0
    late: int = 0
    launches: int = 0
    problems: int = 0
    held: int = 0
    busy_seconds: float = 0.0
    forks: int = 0
    fork_requests: int = 0
    broken: int = 0


class Report(msgspec.Struct, frozen=True):
    """One study. `worlds`: what varies between them, each of which is played in as many ways as there are `plays`.

    `decisions`: processor time on this machine; all else is simulated.
    """

    command: str
    date: str
    machine: Machine
    plays: Sequence[Plays]
    decisions: Sequence[Decisions]
    checks: Sequence[Check]
    worlds: str = "models, tenants, deadlines, and loads from a tenth to five times what the device can do"
    gpu_code_ran: bool = False

    @property
    def distinct(self) -> int:
        """Requests of all worlds."""
        return self.plays[0].requests


def checks(plays: Sequence[Plays], decisions: Sequence[Decisions]) -> Iterable[Check]:
    """All targets."""
    found = {(one.error, one.delays): one for one in plays}
    broken, forks = sum(one.broken for one in plays), sum(one.forks for one in plays)
    what = f"known requests that a delay made late, at {forks} delays looked into"
    yield Check("delay-known", what, float(broken), broken == 0 and forks > 0)
    for error in sorted({one.error for one in plays}):
        with_, without = found[error, True], found[error, False]
        more = (with_.missed - without.missed) / with_.requests
        what = f"share of requests missed more with delays, estimates off by {error:.0%}"
        yield Check(f"delay-misses-{error:g}", what, more, more <= MORE_MISSES)
    first = decisions[0]
    what = f"p99 of a decision, {first.tenants} tenants, {first.ready} ready, microseconds of processor time"
    yield Check("decision-p99", what, first.p99 * 1e6, first.p99 <= DECISION)
    last = decisions[-1]
    growth = last.p99 / first.p99 / _linearithmic(last.tenants, first.tenants)
    what = f"growth of the p99 up to {last.tenants} tenants over that of n log n"
    yield Check("decision-growth", what, growth, growth <= 1.0)


def _linearithmic(many: int, few: int) -> float:
    return many * many.bit_length() / (few * few.bit_length())
