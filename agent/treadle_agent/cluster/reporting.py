"""When a replica's status is written: what flips is told at once, what moves at most every few seconds.

That a new replica loads is told only of loads that take long: nobody acts on it, the operator knows it without.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from treadle_api.conditions import Condition, find_condition
from treadle_api.histogram import quantile
from treadle_api.replica import LoadedReason, ReplicaCondition, ReplicaStatus
from treadle_api.units import Seconds

MOVED = 0.1  # of the figure that was told last
QUANTILES = (0.5, 0.99)
HELD = Seconds(1.5)  # a first `Loading` is


def is_due(told: ReplicaStatus, now_true: ReplicaStatus, *, rested: bool) -> bool:
    """Whether to write a status.

    Args:
        told: what was written last.
        now_true: what would be written.
        rested: whether the shortest time between two reports of figures has passed since.
    """
    return flipped(told, now_true) or (rested and moved(told, now_true))


def held(told: ReplicaStatus, now_true: ReplicaStatus) -> Seconds:
    """How long after its replica was first seen a status is told at the earliest."""
    loaded = find_condition(now_true.conditions, ReplicaCondition.LOADED)
    loads = loaded is not None and loaded.reason == LoadedReason.LOADING
    return HELD if loads and not told.conditions else Seconds(0.0)


def flipped(old: ReplicaStatus, new: ReplicaStatus) -> bool:
    """Whether something has changed that others act on."""
    return _facts(old) != _facts(new)


def moved(old: ReplicaStatus, new: ReplicaStatus) -> bool:
    """Whether any figure differs by more than a tenth from what was told, or a text does."""
    if old.active_tier != new.active_tier or _messages(old) != _messages(new):
        return True
    return any(differs(before, after) for before, after in zip_longest(_compared(old), _compared(new)))


def differs(before: float | None, after: float | None) -> bool:
    """Whether a figure has moved by more than a tenth; anything differs from nothing, and from 0."""
    if before is None or after is None:
        return before is not after
    return abs(after - before) > MOVED * before


def _facts(status: ReplicaStatus) -> tuple[object, ...]:
    return (
        status.observed_generation,
        status.observed_epoch,
        status.address,
        [(one.type, one.status, one.reason, one.observed_generation) for one in _sorted(status.conditions)],
        [
            (one.name, one.sha256, one.architecture, one.implementation, one.precision, one.memory)
            for one in status.tiers
        ],
    )


def _messages(status: ReplicaStatus) -> list[str]:
    return [condition.message for condition in _sorted(status.conditions)]


def _sorted(conditions: Iterable[Condition]) -> list[Condition]:
    return sorted(conditions, key=lambda condition: condition.type)


def _compared(status: ReplicaStatus) -> tuple[float | None, ...]:
    """The figures that are compared; latencies by quantiles, since each bucket holds few of many requests."""
    figures = status.figures
    return (
        figures.good, figures.late, figures.shed, figures.error, figures.accuracy_credit, figures.device_seconds,
        *(quantile(figures.latency_counts, share) for share in QUANTILES),
        *(tier.service_seconds for tier in status.tiers),
    )  # fmt: skip
