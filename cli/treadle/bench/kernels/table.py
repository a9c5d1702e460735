"""The comparison as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from treadle.bench.kernels.report import Report, Row


def show(report: Report, console: Console) -> None:
    """Print rows, ablations and targets."""
    said = "simulated, not measured" if report.simulated else "measured"
    table = Table(title=f"Super-kernels on {report.device} ({said})", title_justify="left")
    beside = any(row.over_library is not None for row in report.rows)
    _columns(table, ("problem", "R", "ratio", "paper", "next best", "over time", *(["over cuBLAS"] if beside else [])))
    for row in report.rows:
        table.add_row(*_cells(row), *([f"{row.over_library:.2f}"] if row.over_library is not None else []))
    console.print(table)
    if report.ablations:
        table = Table(title="The same with one rule of the model changed", title_justify="left")
        _columns(table, ("rule", "problem", "R", "ratio", "paper", "next best", "over time"))
        for ablation in report.ablations:
            for row in ablation.rows:
                table.add_row(ablation.rule, *_cells(row))
        console.print(table)
    if report.checks:
        table = Table(title="Targets", title_justify="left")
        _columns(table, ("target", "figure", "reached"))
        for check in report.checks:
            table.add_row(check.what, f"{check.measured:.2f}", "yes" if check.reached else "no")
        console.print(table)
    console.print(report.note, markup=False, highlight=False)


def _columns(table: Table, names: tuple[str, ...]) -> None:
    for name in names:
        table.add_column(name, justify="left" if name in {"problem", "next best", "rule", "target"} else "right")


def _cells(row: Row) -> tuple[str, ...]:
    paper = "–" if row.paper is None else f"{row.paper:.2f}"
    return row.problem, row.r, f"{row.ratio:.2f}", paper, row.next_best, f"{row.over_time:.2f}"
