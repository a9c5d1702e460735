"""The targets of the reproduction. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle.bench.serving.checks import AT_LEAST, AT_MOST
from treadle.bench.serving.report import Check
from treadle.simulate.model_switching.report import ALGORITHM1, SINGLE, STICKY, Neighbour, Report, Row

PAPER_DEADLINES_MS = (700, 750, 900, 1100, 1300, 1500)
BASE_MS, TIGHT_MS = 750, 250
STALE = (1.3, 1.6)
SWITCH_COST_MS = 500


def checks(report: Report) -> tuple[Check, ...]:
    """All targets against `report`; what it did not simulate is not measured."""
    return tuple(_checks(_Figures(report.rows), report))


def _checks(rows: _Figures, report: Report) -> Iterable[Check]:
    for deadline in PAPER_DEADLINES_MS:
        mine, single = rows.get(ALGORITHM1, deadline), rows.best_single(deadline)
        what = f"algorithm1 over the best single tier, {deadline} ms: points"
        yield _check(f"algorithm1-{deadline}", what, AT_LEAST, 2.0, _points(mine, single))
        what = f"algorithm1, {deadline} ms: violations"
        yield _check(f"algorithm1-violations-{deadline}", what, AT_MOST, 0.001, _violations(mine))
    for deadline in (BASE_MS, TIGHT_MS):
        mine, paper = rows.get(STICKY, deadline), rows.get(ALGORITHM1, deadline)
        what = f"sticky-slack over algorithm1, {deadline} ms: points"
        yield _check(f"sticky-{deadline}", what, AT_LEAST, 0.8, _points(mine, paper))
        what = f"sticky-slack, {deadline} ms: violations"
        yield _check(f"sticky-violations-{deadline}", what, AT_MOST, 0.001, _violations(mine))
    base = rows.get(STICKY, BASE_MS)
    flapping = base.switches_per_request if base else None
    yield _check("flapping", f"sticky-slack, {BASE_MS} ms: switches a request", AT_MOST, 0.01, flapping)
    degradation = base.first_degradation_s if base else None
    what = f"sticky-slack, {BASE_MS} ms: seconds from the step to the first degradation"
    yield _check("degradation", what, AT_MOST, 1.0, degradation)
    for error in STALE:
        stale = rows.get(STICKY, BASE_MS, profile_error=error)
        what = f"sticky-slack, service {error:g}× its profile: violations"
        yield _check(f"stale-{error:g}", what, AT_MOST, 0.005, _violations(stale))
    costly = rows.get(STICKY, BASE_MS, switch_cost=SWITCH_COST_MS)
    what = f"sticky-slack, {SWITCH_COST_MS} ms to switch a server: violations"
    yield _check("switch-cost-violations", what, AT_MOST, 0.02, _violations(costly))
    what = f"sticky-slack, {SWITCH_COST_MS} ms to switch a server, over the best single tier: points"
    single = rows.best_single(BASE_MS, switch_cost=SWITCH_COST_MS)
    yield _check("switch-cost-single", what, AT_LEAST, -1.5, _points(costly, single))
    what = "a neighbour's burst of 10×: change of the other's violations, points"
    yield _check("neighbour", what, AT_MOST, 0.5, _change(report.neighbours))
    over = base.effective_accuracy - report.fluid_bound if base else None
    yield _check("fluid-below", "sticky-slack over the fluid bound, points", AT_LEAST, -0.3, over)
    yield _check("fluid-above", "sticky-slack over the fluid bound: no more than queues smooth", AT_MOST, 0.1, over)


def _check(name: str, what: str, relation: str, target: float, measured: float | None) -> Check:
    if measured is None:
        return Check(name, what, relation, target, None, None)
    measured = round(measured, 5)
    return Check(
        name, what, relation, target, measured, measured >= target if relation == AT_LEAST else measured <= target
    )


def _points(row: Row | None, other: Row | None) -> float | None:
    return row.effective_accuracy - other.effective_accuracy if row and other else None


def _violations(row: Row | None) -> float | None:
    return row.violation_ratio if row else None


def _change(neighbours: Sequence[Neighbour]) -> float | None:
    """The largest change of the quiet tenant's violations, percentage points, over deadlines."""
    quiet = {one.deadline_ms: one for one in neighbours if one.burst == 1.0}
    changes = [
        100.0 * abs(one.violation_ratio - quiet[one.deadline_ms].violation_ratio)
        for one in neighbours
        if one.burst != 1.0
    ]
    return max(changes, default=None)


class _Figures:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row.policy, row.deadline_ms, row.profile_error, row.switch_cost_ms): row for row in rows}

    def get(self, policy: str, deadline: float, profile_error: float = 1.0, switch_cost: float = 0.0) -> Row | None:
        return self._rows.get((policy, deadline, profile_error, switch_cost))

    def best_single(self, deadline: float, switch_cost: float = 0.0) -> Row | None:
        found = [
            row
            for (policy, at, error, cost), row in self._rows.items()
            if policy.startswith(SINGLE) and (at, error, cost) == (deadline, 1.0, switch_cost)
        ]
        return max(found, key=lambda row: row.effective_accuracy, default=None)
