"""What the simulated V100 is to reproduce of the paper's table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from treadle.bench.kernels.compare import SPACE
from treadle.bench.kernels.problems import GEOMEAN, OVER_TIME, PROBLEMS, SHOWN
from treadle.bench.kernels.report import Check, Row

TOLERANCE = 0.35  # relative


def checks(rows: Sequence[Row]) -> Iterable[Check]:
    """All targets; `measured` is a relative deviation where a figure of the paper is compared, else a ratio."""
    found = {(row.problem, row.r): row for row in rows}
    means = [found[problem.name, GEOMEAN] for problem in PROBLEMS]
    for problem, mean in zip(PROBLEMS, means, strict=True):
        yield _deviation(f"geomean-{problem.name}", f"{problem.name}: geometric mean", mean.ratio, problem.paper)
    over_time = found["conv2_2", GEOMEAN].over_time
    yield _deviation("over-time", "conv2_2: geometric mean over sharing by time", over_time, OVER_TIME)
    for problem in PROBLEMS:
        first, last = (found[problem.name, str(r)].ratio for r in SHOWN)
        what = f"{problem.name}: the ratio rises from R = {SHOWN[0]} to R = {SHOWN[1]}; last over first"
        yield Check(f"rises-{problem.name}", what, last / first, last > first)
    for row in means:
        if row.problem != "rnn":  # where time and space tie
            what = f"{row.problem}: the next best is {SPACE}; speed of space over time"
            yield Check(f"next-best-{row.problem}", what, row.space_over_time, row.next_best == SPACE)
    steps = [later.ratio / earlier.ratio for earlier, later in pairwise(means)]
    what = f"geometric means in the order {' < '.join(problem.name for problem in PROBLEMS)}; smallest step"
    yield Check("order", what, min(steps), min(steps) > 1)


def _deviation(name: str, what: str, figure: float, paper: float) -> Check:
    deviation = figure / paper - 1
    text = f"{what} within {TOLERANCE:.0%} of the paper's {paper:g}; deviation"
    return Check(name, text, deviation, abs(deviation) <= TOLERANCE)
