"""What was counted in the last minute, from counters that only rise."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import sub

from treadle_agent.metrics import RequestOutcome, TenantRequests
from treadle_api.histogram import BOUNDS
from treadle_api.replica import Figures
from treadle_api.units import Seconds, TierName

WINDOW = Seconds(60.0)
_NONE = (0,) * (len(BOUNDS) + 1)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since they began, of one tenant on one device; `answered` by tier."""

    good: int = 0
    late: int = 0
    shed: int = 0
    error: int = 0
    accuracy_credit: float = 0.0
    latency_counts: tuple[int, ...] = _NONE
    device_seconds: float = 0.0
    answered: Mapping[str, int] = field(default_factory=dict)


def read_totals(requests: TenantRequests, device_seconds: float) -> Totals:
    """The counters of the front end, and the device time of the executor."""
    by_outcome = dict.fromkeys(RequestOutcome, 0)
    answered: dict[str, int] = {}
    for (tier, outcome), count in requests.outcomes.items():
        by_outcome[outcome] += count
        if tier:
            answered[tier] = answered.get(tier, 0) + count
    return Totals(
        good=by_outcome[RequestOutcome.GOOD],
        late=by_outcome[RequestOutcome.LATE],
        shed=by_outcome[RequestOutcome.SHED],
        error=by_outcome[RequestOutcome.ERROR],
        accuracy_credit=requests.credit * 100.0,
        latency_counts=tuple(requests.latencies),
        device_seconds=device_seconds,
        answered=answered,
    )


def _falls(before: Totals, after: Totals) -> bool:
    counts = ((one.good, one.late, one.shed, one.error, one.device_seconds) for one in (before, after))
    return any(new < old for old, new in zip(*counts, strict=True))


class Window:
    """The counters of the last minute, one look after another."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Totals]] = deque()
        self._tiers: tuple[str, ...] = ()
        self._before: Mapping[str, int] = {}  # answered by tier, before these tiers served
        self._tier: str | None = None

    def serve(self, tiers: tuple[str, ...], totals: Totals) -> None:
        """These tiers serve from now on: what was answered while there were others is no choice among these."""
        if tiers != self._tiers:
            self._tiers, self._before, self._tier = tiers, totals.answered, None

    def add(self, totals: Totals, now: float) -> None:
        """Look at the counters at `now`, in seconds of any clock."""
        if self._looks and _falls(self._looks[-1][1], totals):
            self._looks.clear()  # they began anew
            self._before = {}
        self._looks.append((now, totals))
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        begin = self._looks[0][1].answered
        counts = {
            tier: count - max(begin.get(tier, 0), self._before.get(tier, 0)) for tier, count in totals.answered.items()
        }
        if any(counts.values()):
            self._tier = max(counts, key=lambda tier: counts[tier])

    @property
    def active_tier(self) -> TierName | None:
        """The tier that answered most requests of the window, or of the last one that had any.

        None where none of the tiers that serve now was asked yet.
        """
        return TierName(self._tier) if self._tier is not None else None

    @property
    def figures(self) -> Figures:
        """What the window holds; its length is 0 before the second look."""
        if not self._looks:
            return Figures(Seconds(0.0), latency_counts=_NONE)
        (start, begin), (end, last) = self._looks[0], self._looks[-1]
        return Figures(
            window=Seconds(float(round(end - start))),
            good=last.good - begin.good,
            late=last.late - begin.late,
            shed=last.shed - begin.shed,
            error=last.error - begin.error,
            accuracy_credit=max(last.accuracy_credit - begin.accuracy_credit, 0.0),  # it is a sum of floats
            latency_counts=tuple(map(sub, last.latency_counts, begin.latency_counts)),
            device_seconds=Seconds(last.device_seconds - begin.device_seconds),
        )
