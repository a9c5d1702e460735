"""The targets of live switching. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.bench.serving.checks import AT_LEAST, AT_MOST
from treadle.bench.serving.report import Check
from treadle.bench.switching.report import SWITCHING, Report, Row


def checks(report: Report) -> tuple[Check, ...]:
    """All targets against `report`."""
    return tuple(_checks(report))


def _checks(report: Report) -> Iterable[Check]:
    by_contestant: dict[str, list[Row]] = {}
    for row in report.rows:
        by_contestant.setdefault(row.contestant, []).append(row)
    mine = by_contestant.pop(SWITCHING)
    best = max(_mean(rows) for rows in by_contestant.values())
    what = "effective accuracy over the deadlines, above the best single tier's: points"
    yield _check("sweep", what, AT_LEAST, 0.0, _mean(mine) - best)
    singles = {row.deadline_ms: 0.0 for row in mine}
    for row in report.rows:
        if row.contestant != SWITCHING:
            singles[row.deadline_ms] = max(singles[row.deadline_ms], row.effective_accuracy)
    least = min(row.effective_accuracy - singles[row.deadline_ms] for row in mine)
    what = "the same at the worst deadline, above the single tier that is best there: points"
    yield _check("any-deadline", what, AT_LEAST, -0.3, least)
    missing = max(abs(row.counted_of_sent - 1.0) for row in report.rows)
    yield _check(
        "counters", "requests sent and not in the outcome counters, or the other way: share", AT_MOST, 0.0, missing
    )
    what = "switching: scraped effective accuracy against the one counted from answers by their tiers: points"
    yield _check("scraped", what, AT_MOST, 0.1, clocks_differ(mine))
    yield _check("decision", "a decision, 99th percentile: µs", AT_MOST, 100.0, report.decisions.p99_us)


def clocks_differ(rows: Iterable[Row]) -> float:
    """Points by which the server's count of answers in time and the client's differ at most.

    A request is due at the client before it has arrived at the server, and its answer leaves the server before it is
    at the client: those at the very edge of the deadline are late by one clock only. Tiers pinned beyond their
    saturation have many such answers, which is why this is no target for them.
    """
    return max(abs(row.scraped_accuracy - row.declared_accuracy) for row in rows)


def _check(name: str, what: str, relation: str, target: float, measured: float) -> Check:
    measured = round(measured, 5)
    return Check(
        name, what, relation, target, measured, measured >= target if relation == AT_LEAST else measured <= target
    )


def _mean(rows: Sequence[Row]) -> float:
    return sum(row.effective_accuracy for row in rows) / len(rows)
