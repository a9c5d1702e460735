"""What the answers were worth: a request answered in its deadline earns the share of its labels that were right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.load.records import UNANSWERED, Records, latency

ANSWERED = 200
SHED = (429, 503)

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of requests by how they ended, which sum to `sent`; latencies in seconds of the answered ones, else nan.

    `credit` is the sum over requests of accuracy earned, so that `credit / sent` is the effective accuracy;
    `spread` is the standard deviation of what one request earned.
    """

    sent: int
    good: int
    late: int
    shed: int
    failed: int
    unanswered: int
    credit: float
    spread: float
    p50: float
    p99: float

    @property
    def error(self) -> float:
        """The standard error of the effective accuracy, in percentage points; nan when nothing was sent."""
        return 100.0 * self.spread / math.sqrt(self.sent) if self.sent else float("nan")

    @property
    def effective_accuracy(self) -> float:
        """In percent; nan when nothing was sent."""
        return 100.0 * self.credit / self.sent if self.sent else float("nan")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Masks over records, (N,) bool each: every record is in exactly one."""

    good: Array
    late: Array
    shed: Array
    failed: Array
    unanswered: Array


def outcomes(records: Records, deadlines: Sequence[float]) -> Outcomes:
    """How each request ended; `deadlines` in seconds, by target."""
    answered = records["status"] == ANSWERED
    in_time = latency(records) <= np.asarray(deadlines)[records["target"]]
    shed = np.isin(records["status"], SHED)
    unanswered = records["status"] == UNANSWERED
    return Outcomes(
        good=answered & in_time,
        late=answered & ~in_time,
        shed=shed,
        failed=~(answered | shed | unanswered),
        unanswered=unanswered,
    )


def credit(records: Records, deadlines: Sequence[float]) -> Array:
    """Accuracy earned by each request, 0..1: (N,) float64."""
    share = records["correct"] / np.maximum(records["rows"], 1)
    earned: Array = np.where(outcomes(records, deadlines).good, share, 0.0)
    return earned


def score(records: Records, deadlines: Sequence[float]) -> Score:
    """The score of these records."""
    ended = outcomes(records, deadlines)
    seconds = latency(records)[ended.good | ended.late]
    p50, p99 = np.quantile(seconds, (0.5, 0.99)).tolist() if seconds.size else (float("nan"), float("nan"))
    earned = credit(records, deadlines)
    return Score(
        sent=len(records),
        good=int(ended.good.sum()),
        late=int(ended.late.sum()),
        shed=int(ended.shed.sum()),
        failed=int(ended.failed.sum()),
        unanswered=int(ended.unanswered.sum()),
        credit=float(earned.sum()),
        spread=float(earned.std()) if earned.size else 0.0,
        p50=p50,
        p99=p99,
    )


def between(records: Records, begin: float, end: float) -> Records:
    """The records of requests due in [begin, end)."""
    return records[(records["intended"] >= begin) & (records["intended"] < end)]


def of_targets(records: Records, targets: Sequence[int]) -> Records:
    """The records of these targets' requests."""
    return records[np.isin(records["target"], targets)]
