"""The report as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from treadle.simulate.model_switching.report import Report, Row

NOTE = "Simulated, not measured: the production queues and policies, on servers that exist on a clock of events alone."


def show(report: Report, console: Console) -> None:
    """Print rows by scenario, the neighbours and the targets."""
    console.print(NOTE, style="dim")
    scenarios = dict.fromkeys((row.deadline_ms, row.profile_error, row.switch_cost_ms) for row in report.rows)
    for deadline, error, cost in scenarios:
        rows = [
            row
            for row in report.rows
            if (row.deadline_ms, row.profile_error, row.switch_cost_ms) == (deadline, error, cost)
        ]
        title = f"Deadline {deadline:g} ms, service {error:g}× its profile, {cost:g} ms to switch, {report.seeds} seeds"
        _print(console, title, _COLUMNS, (_cells(row) for row in rows))
    console.print(f"fluid_bound: {report.fluid_bound:.2f} % (of the first scenario)", highlight=False)
    if report.neighbours:
        _print(
            console,
            "Two tenants; one is louder for a while",
            ("deadline ms", "burst", "quiet: violations %", "accuracy %", "loud: violations %", "accuracy %"),
            (
                (
                    f"{one.deadline_ms:g}", f"{one.burst:g}×",
                    f"{100 * one.violation_ratio:.3f}", f"{one.effective_accuracy:.2f}",
                    f"{100 * one.loud_violation_ratio:.3f}", f"{one.loud_effective_accuracy:.2f}",
                )
                for one in report.neighbours
            ),
        )  # fmt: skip
    measured = [check for check in report.checks if check.measured is not None]
    verdicts = {True: "yes", False: "no", None: ""}
    _print(
        console,
        "Targets",
        ("target", "", "found", "reached"),
        (
            (one.what, f"{one.relation} {one.target:g}", f"{one.measured:.4g}", verdicts[one.reached])
            for one in measured
        ),
    )


_COLUMNS = (
    "policy", "effective accuracy %", "of answered %", "violations %", "shed %", "switches/request", "first down s",
    "p99 ms",
)  # fmt: skip


def _cells(row: Row) -> Sequence[str]:
    return (
        row.policy, f"{row.effective_accuracy:.2f}", _number(row.accuracy_of_answered, 2),
        f"{100 * row.violation_ratio:.3f}", f"{100 * row.shed_ratio:.3f}", f"{row.switches_per_request:.4f}",
        _number(row.first_degradation_s, 2), _number(row.p99_ms, 0),
    )  # fmt: skip


def _print(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        console.print(table)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
