"""What records of a run amount to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from treadle.load.records import UNANSWERED, Records, latency

_OK = 200
_REFUSED = (429, 503)


@dataclass(frozen=True, slots=True)
class Summary:
    """A run's requests that were due inside its window; rates are per second of the window.

    `goodput_rps`: answered within the deadline; `p50_ms`, `p99_ms`: of requests that were not refused, an unanswered
    one counting as long as it was waited for, so that a server gains nothing by not answering; NaN without any.
    """

    offered_rps: float
    answered_rps: float
    goodput_rps: float
    p50_ms: float
    p99_ms: float
    late: float
    refused: float
    failed: float
    unanswered: float


def summarise(records: Records, *, deadline: float, begin: float, end: float) -> Summary:
    """The requests due in [begin, end) seconds of a run, against `deadline` seconds."""
    if not end > begin:
        raise ValueError(f"an empty window: {begin} to {end} s")
    chosen = records[(records["intended"] >= begin) & (records["intended"] < end)]
    status, waited = chosen["status"], latency(chosen)
    answered, unanswered = status == _OK, status == UNANSWERED
    refused = np.isin(status, _REFUSED)
    good = answered & (waited <= deadline)
    counted = waited[answered | unanswered]
    p50, p99 = (np.quantile(counted, (0.5, 0.99)) * 1e3).tolist() if counted.size else (float("nan"),) * 2
    seconds = end - begin
    return Summary(
        offered_rps=len(chosen) / seconds,
        answered_rps=int(answered.sum()) / seconds,
        goodput_rps=int(good.sum()) / seconds,
        p50_ms=p50,
        p99_ms=p99,
        late=int((answered & ~good).sum()),
        refused=int(refused.sum()),
        failed=int((~answered & ~unanswered & ~refused).sum()),
        unanswered=int(unanswered.sum()),
    )


def throughput(records: Records, *, begin: float, end: float) -> float:
    """Successful answers per second that came in [begin, end) seconds of a run: what a closed loop measures."""
    finished = records["finished"][records["status"] == _OK]
    return int(((finished >= begin) & (finished < end)).sum()) / (end - begin)


def median(summaries: Sequence[Summary]) -> Summary:
    """Each field's median over repeated runs; NaN where a run had none."""
    return Summary(*(statistics.median(getattr(one, field.name) for one in summaries) for field in fields(Summary)))
