"""`treadle bench host`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from treadle.bench.host.measure import measure
from treadle.bench.host.report import Report, Row
from treadle.bench.host.subjects import SUBJECTS, Subject
from treadle.bench.machine import machine, versions
from treadle.results import page_console, write_result
from treadle.wheels import WheelUnavailableError
from treadle_agent.program.forkserver import single_threaded

_PAGE_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench host` takes."""
    parser.add_argument("--only", metavar="TEXT", default="", help="subjects whose name holds this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    """Measure: 0 all targets are reached, 1 one is not, 2 wrong usage."""
    chosen = [subject for subject in SUBJECTS if arguments.only in subject.name]
    if not chosen:
        print(f"--only {arguments.only}: none of {', '.join(one.name for one in SUBJECTS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    left_out: list[tuple[str, str]] = []
    for subject in chosen:
        print(f"measuring {subject.name} …", file=sys.stderr)
        try:
            rows.append(_apart(subject))
        except WheelUnavailableError as error:
            left_out.append((subject.name, str(error)))
    report = Report(
        machine=machine(),
        versions=versions(),
        command=shlex.join(["treadle", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=tuple(rows),
        left_out=tuple(left_out),
    )
    _show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(not all(row.reached for row in rows))


def _apart(subject: Subject) -> Row:
    """In a process of its own, whose linear algebra keeps to one thread, as the executor's does."""
    with single_threaded(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, SUBJECTS.index(subject)).result()


def _measure(index: int) -> Row:
    return measure(SUBJECTS[index])


def _show(report: Report, console: Console) -> None:
    table = Table(title="Speed over a session a tenant, called in turn", title_justify="left")
    columns = ("models", "tenants", "as", "sessions, ms", "kernels", "device", "dispatch", "device at least", "reached")
    for column in columns:
        table.add_column(column, justify="left" if column in {"models", "as"} else "right")
    for row in report.rows:
        table.add_row(
            row.subject, str(row.tenants), row.implementation, f"{row.sessions_seconds * 1e3:.3f}",
            f"{row.kernel_speed:.2f}×", f"{row.speed:.2f}×", f"{row.dispatch_speed:.2f}×", f"{row.target:.2f}×",
            "yes" if row.reached else "no",
        )  # fmt: skip
    console.print(table)
    for name, reason in report.left_out:
        console.print(f"left out: {name}: {reason}", style="yellow", markup=False)
