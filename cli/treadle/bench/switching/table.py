"""The report as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from treadle.bench.switching.report import Report

_COLUMNS = (
    "contestant", "deadline ms", "effective accuracy %", "by declared %", "scraped %", "violations %", "shed %",
    "p99 ms", "switches/request", "tiers that answered in time",
)  # fmt: skip


def show(report: Report, console: Console) -> None:
    """Print rows and targets."""
    table = Table(title=f"The paper's load in {report.seconds:g} s, {report.rounds} round(s)", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in (_COLUMNS[0], _COLUMNS[-1]) else "right")
    for row in report.rows:
        table.add_row(
            row.contestant, f"{row.deadline_ms:g}", f"{row.effective_accuracy:.2f}", f"{row.declared_accuracy:.2f}",
            f"{row.scraped_accuracy:.2f}", f"{100 * row.violation_ratio:.2f}", f"{100 * row.shed_ratio:.2f}",
            "–" if row.p99_ms is None else f"{row.p99_ms:.1f}", f"{row.switches_per_request:.4f}",
            ", ".join(f"{name} {100 * share:.0f} %" for name, share in row.share_by_tier.items()),
        )  # fmt: skip
    console.print(table)
    tiers = ", ".join(f"{tier.name} {tier.accuracy:.2f} % {tier.saturation_rps:,.0f}/s" for tier in report.tiers)
    console.print(f"tiers alone, in a closed loop: {tiers}", highlight=False)
    targets = Table(title="Targets", title_justify="left")
    for column in ("target", "", "measured", "reached"):
        targets.add_column(column, justify="left" if column == "target" else "right")
    for check in report.checks:
        verdict = "yes" if check.reached else "no"
        targets.add_row(check.what, f"{check.relation} {check.target:g}", f"{check.measured:.4g}", verdict)
    console.print(targets)
