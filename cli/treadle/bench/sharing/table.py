"""The report as a table on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from treadle.bench.sharing.report import Report


def show(report: Report, console: Console) -> None:
    """Print the ways side by side, and what was left out."""
    name = report.gpu["device"] if report.gpu else report.device
    table = Table(title=f"Ways to share {name}", title_justify="left")
    for column in ("suite", "tenants", "way", "answers/s", "p50 ms", "p99 ms", "spread", "merged"):
        table.add_column(column, justify="left" if column in ("suite", "way") else "right")
    for row in report.rows:
        table.add_row(
            row.suite, str(row.tenants), row.way, f"{row.rps:,.0f}", f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}",
            f"{row.spread:.2f}×", f"{row.merge_factor:.2f}",
        )  # fmt: skip
    console.print(table)
    for one in report.left_out:
        console.print(f"left out: {one.suite}: {one.server}: {one.reason}", markup=False, highlight=False)
