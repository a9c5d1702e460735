"""From seconds to ratios: the super-kernel against the next best of time and space, and against time alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from treadle.bench.kernels.problems import GEOMEAN, SHOWN, Problem
from treadle.bench.kernels.report import Row

TIME, SPACE = "time", "space"
_TIE = 1e-9  # relative


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of R equal problems with operands of their own, shared each way, and by a library's one call for all."""

    time: float
    space: float
    merged: float
    library: float | None = None

    @property
    def ratio(self) -> float:
        """Speed of the super-kernel over the next best."""
        return min(self.time, self.space) / self.merged

    @property
    def over_time(self) -> float:
        """Speed of the super-kernel over sharing by time."""
        return self.time / self.merged

    @property
    def next_best(self) -> str:
        """The faster of time and space; time where they tie."""
        return SPACE if self.space < self.time * (1 - _TIE) else TIME


def rows(problem: Problem, timings: Mapping[int, Timing]) -> Iterable[Row]:
    """The table's rows of one problem: R of `SHOWN`, and the geometric mean over all R there are."""
    for r in SHOWN:
        yield _row(problem, str(r), None, [timings[r]])
    yield _row(problem, GEOMEAN, problem.paper, list(timings.values()))


def _row(problem: Problem, r: str, paper: float | None, timings: Sequence[Timing]) -> Row:
    next_best = [one.next_best for one in timings]
    over_library = [one.library / one.merged for one in timings if one.library is not None]
    return Row(
        problem=problem.name,
        r=r,
        ratio=geometric_mean([one.ratio for one in timings]),
        paper=paper,
        next_best=max((TIME, SPACE), key=next_best.count),
        over_time=geometric_mean([one.over_time for one in timings]),
        space_over_time=math.exp(sum(math.log(one.time / one.space) for one in timings) / len(timings)),
        over_library=geometric_mean(over_library) if over_library else None,
    )
