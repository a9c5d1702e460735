"""How long a launch takes: measured at load for some numbers of problems, and corrected by what is observed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

CORRECTION_GAIN = 0.05  # weight of one observation; about twenty launches to follow a change
RELAX_GAIN = 0.2  # a second
CORRECTION_BOUNDS = (0.25, 8.0)  # a single preempted launch must not make a model look unusable
LOOKED_UP = 66  # numbers of problems whose seconds are kept at hand: what an executor merges, and one more

Points = Sequence[tuple[int, float]]  # numbers of problems, ascending from 1, and the seconds of each


def interpolate(points: Points, problems: int) -> float:
    """Seconds of `problems` problems: on straight lines between `points`, and on the outermost ones beyond them.

    In proportion to the problems where there is one point only. None take no time: a line through two points says what
    a further problem costs, and below the first one may say less than nothing.
    """
    if problems < 1:
        return 0.0
    if len(points) == 1:
        ((few, less),) = points
        return less * problems / few
    place = bisect_right(points, problems, 1, len(points) - 1, key=itemgetter(0))
    (few, less), (many, more) = points[place - 1 : place + 1]
    return less + (more - less) * (problems - few) / (many - few)


@dataclass(slots=True, eq=False)
class Correction:
    """Observed duration / profiled duration, exponentially averaged: the profile correction ratio.

    The executables of one architecture share one: what slows the machine slows them alike, and a batch size that was
    not used lately is not believed to be as fast as it once was.
    """

    ratio: float = 1.0
    fresh: bool = False  # something was observed since the last `relax`

    def observe(self, ratio: float) -> None:
        """Learn from one launch."""
        low, high = CORRECTION_BOUNDS
        self.ratio += CORRECTION_GAIN * (min(max(ratio, low), high) - self.ratio)
        self.fresh = True

    def relax(self, toward: float = 1.0) -> None:
        """Once a second: what was not observed lately drifts to `toward`; nothing looks slow for ever.

        `toward`: what is known of the like, such as a tenant's other tiers: what slows the machine slows them alike.
        """
        if not self.fresh:
            self.ratio += RELAX_GAIN * (toward - self.ratio)
        self.fresh = False


class CostModel:
    """Expected duration of an executable, in seconds: straight lines between the measured numbers of problems, times a
    correction.
    """

    __slots__ = ("_points", "_seconds", "correction")

    def __init__(self, points: Points, correction: Correction | None = None) -> None:
        self._points = points
        self._seconds = [interpolate(points, problems) for problems in range(LOOKED_UP)]
        self.correction = Correction() if correction is None else correction

    @classmethod
    def line(cls, fixed: float, per_problem: float, correction: Correction | None = None) -> CostModel:
        """One that is `fixed` seconds for a launch and `per_problem` for each problem in it."""
        return cls(((1, fixed + per_problem), (2, fixed + 2.0 * per_problem)), correction)

    def profiled(self, problems: int) -> float:
        """Seconds for the whole executable with `problems` problems merged, as they were when it was measured."""
        try:
            return self._seconds[problems]
        except IndexError:
            return interpolate(self._points, problems)

    def expected(self, problems: int) -> float:
        """Seconds for the whole executable with `problems` problems merged, as things are lately."""
        try:  # the hot path of every decision
            return self._seconds[problems] * self.correction.ratio
        except IndexError:
            return interpolate(self._points, problems) * self.correction.ratio

    def observe(self, problems: int, share: float, seconds: float) -> None:
        """Learn from a launch that covered `share` (0–1) of the executable and took `seconds`."""
        profiled = self.profiled(problems) * share
        if profiled > 0.0:
            self.correction.observe(seconds / profiled)


@dataclass(slots=True, eq=False)
class Executable:
    """A program (or a chain of segments) bound to static shapes, as the scheduler sees it.

    `rows`: capacity of one problem in rows. `shares[k]`: share of the whole duration that the first k kernels take,
    from 0.0 (k = 0) to 1.0 (k = number of kernels). `mergeable`: problems of different tenants may share a launch.
    `batches`: several requests may share a problem; False where that would keep the device too long.
    """

    name: str
    rows: int
    shares: Sequence[float]
    mergeable: bool
    cost: CostModel
    batches: bool = True
    body: object = field(default=None, repr=False)  # the device's own
    running: int = 0  # problems on the device
    capacity: int = 1 << 30  # problems the device can hold

    @property
    def length(self) -> int:
        """Number of kernels."""
        return len(self.shares) - 1

    def remaining(self, begin: int, problems: int) -> float:
        """Expected seconds from kernel `begin` to the end."""
        return (1.0 - self.shares[begin]) * self.cost.expected(problems)

    def run_end(self, begin: int, problems: int, quantum: float) -> int:
        """The end of a run of kernels from `begin` that fits `quantum` seconds; at least one kernel."""
        total = self.cost.expected(problems)
        limit = self.shares[begin] + (quantum / total if total > 0.0 else 1.0)
        return bisect_right(self.shares, limit, begin + 2) - 1
