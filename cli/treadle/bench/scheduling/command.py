"""`treadle bench scheduling`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from treadle.bench.machine import machine
from treadle.bench.scheduling.decisions import best
from treadle.bench.scheduling.play import BrokenRuleError
from treadle.bench.scheduling.report import Plays, Report, checks
from treadle.bench.scheduling.study import study
from treadle.bench.scheduling.world import VARIED
from treadle.results import page_console, write_result

_PAGE_WIDTH = 120
_REQUESTS = 1_000_000
_SIZES = ((64, 256), (250, 1000), (1000, 4000))  # tenants, ready requests


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench scheduling` takes."""
    parser.add_argument(
        "--requests",
        type=int,
        default=_REQUESTS,
        metavar="N",
        help="simulated requests, each counted in each of four ways to play it (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    """Study: 0 done, 1 a rule was broken or a target missed, 2 wrong usage."""
    if arguments.requests < 1:
        print(f"--requests {arguments.requests}: expected 1 or more", file=sys.stderr)
        return 2
    try:
        report = _report(arguments.requests)
    except BrokenRuleError as error:
        print(error, file=sys.stderr)
        return 1
    _show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(not all(check.reached for check in report.checks))


def _report(requests: int) -> Report:
    decisions = best(_SIZES)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("playing", total=requests)
        plays = study(requests, lambda count: progress.advance(task, count))
    command = shlex.join(["treadle", *sys.argv[1:]])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(command, date, machine(), plays, decisions, tuple(checks(plays, decisions)), VARIED)


def _show(report: Report, console: Console) -> None:
    table = Table(title="Random worlds (simulated)", title_justify="left")
    for name in ("estimates off by", "delays", "requests", "missed", "late", "held", "problems a launch", "busy s"):
        table.add_column(name, justify="right")
    for one in report.plays:
        table.add_row(*_cells(one))
    console.print(table)
    table = Table(title="One decision, microseconds of processor time, in the best run", title_justify="left")
    for name in ("tenants", "ready", "p50", "p99", "in all runs", "whole turn, p99", "problems a launch"):
        table.add_column(name, justify="right")
    for timed in report.decisions:
        p50, p99, turn = (f"{seconds * 1e6:.1f}" for seconds in (timed.p50, timed.p99, timed.turn_p99))
        runs = f"{min(timed.runs) * 1e6:.1f}–{max(timed.runs) * 1e6:.1f}"
        table.add_row(str(timed.tenants), str(timed.ready), p50, p99, runs, turn, f"{timed.problems:.1f}")
    console.print(table)
    table = Table(title="Targets", title_justify="left")
    for name in ("target", "figure", "reached"):
        table.add_column(name)
    for check in report.checks:
        table.add_row(check.what, f"{check.measured:.4g}", "yes" if check.reached else "no")
    console.print(table)


def _cells(one: Plays) -> tuple[str, ...]:
    return (
        f"{one.error:.0%}",
        "yes" if one.delays else "no",
        str(one.requests),
        str(one.missed),
        str(one.late),
        str(one.held),
        f"{one.problems / one.launches:.2f}",
        f"{one.busy_seconds:.1f}",
    )
