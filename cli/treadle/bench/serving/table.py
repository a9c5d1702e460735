"""The report as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from treadle.bench.serving.report import Report


def show(report: Report, console: Console) -> None:
    """Print saturation, sweeps, memory and targets."""
    _print(
        console, f"Saturation, answers/s (the generator's own limit: {report.limit_rps:,.0f})",
        ("suite", "server", "answers/s"),
        [(one.suite, one.server, f"{one.rps:,.0f}") for one in report.saturation],
    )  # fmt: skip
    _print(
        console, "Open-loop load, × each server's own saturation",
        ("suite", "server", "load", "offered/s", "goodput/s", "p50 ms", "p99 ms", "CPU ms/answer", "merged"),
        [
            (
                row.suite, row.server, f"{row.load:g}", f"{row.offered_rps:,.0f}", f"{row.goodput_rps:,.0f}",
                _number(row.p50_ms), _number(row.p99_ms), f"{row.cpu_ms_per_request:.3f}", _number(row.merge_factor),
            )
            for row in report.rows
        ],
    )  # fmt: skip
    _print(
        console, "Memory, MB resident",
        ("suite", "server", "tenants", "one", "all", "growth", "weights of the others"),
        [
            (
                one.suite, one.server, str(one.tenants), f"{one.rss_mb_one:.0f}", f"{one.rss_mb_all:.0f}",
                f"{one.growth_mb:.0f}", f"{one.weights_mb:.0f}",
            )
            for one in report.memory
        ],
    )  # fmt: skip
    _print(
        console, "Targets", ("target", "", "measured", "reached"),
        [
            (one.what, f"{one.relation} {one.target:g}", _number(one.measured), _verdict(reached=one.reached))
            for one in report.checks
        ],
    )  # fmt: skip
    for one in report.left_out:
        console.print(f"left out: {one.suite}: {one.server}: {one.reason}", style="yellow", markup=False)


def _print(console: Console, title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if rows:
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, justify="left" if column in {"suite", "server", "target"} else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _verdict(*, reached: bool | None) -> str:
    return "not measured" if reached is None else "yes" if reached else "no"
