"""`treadle simulate goodput`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from treadle.results import page_console, write_result
from treadle.simulate.goodput.architectures import Architecture
from treadle.simulate.goodput.report import Deadline, Report
from treadle.simulate.goodput.study import DRAWS, MIX, OURS, WAYS, settings, study
from treadle_agent.executor.gpu_model import GPUS

_PAGE_WIDTH = 140
_COUNTS = (2, 4, 8, 16, 32)
_REQUESTS = 1000
NOTE = (
    "Every figure is simulated: real policies on a virtual clock over the model of docs/adr/0010-simulated-gpu.md; no "
    f"GPU code has run. Poisson arrivals, the median of {DRAWS} draws; tenants alike, each with one model; hopeless "
    "requests are shed, and count as missed. Left out: the time that decisions, copies and HTTP take."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle simulate goodput` takes."""
    parser.add_argument("--gpu", choices=tuple(GPUS), default="V100", help="which analytic GPU (default V100)")
    parser.add_argument("--models", metavar="NAME", help=f"ResNet-18, ResNet-50, MobileNetV2, GRU-512 or {MIX}; all")
    parser.add_argument(
        "--tenants", type=int, nargs="+", default=_COUNTS, metavar="N", help="numbers of tenants (default 2 4 8 16 32)"
    )
    parser.add_argument("--requests", type=int, default=_REQUESTS, metavar="N", help="in each run (default 1000)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the first of the arrivals' draws (default 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    """Simulate: 0 done, 2 wrong usage."""
    chosen = settings(GPUS[arguments.gpu])
    if arguments.models:
        if arguments.models not in chosen:
            print(f"--models {arguments.models}: must be one of {', '.join(chosen)}", file=sys.stderr)
            return 2
        chosen = {arguments.models: chosen[arguments.models]}
    if min(arguments.tenants) < 1 or arguments.requests < 100:
        print("--tenants must be at least 1, --requests at least 100", file=sys.stderr)
        return 2
    rows = study(
        chosen, arguments.tenants, arguments.requests, arguments.seed, lambda what: print(what, "…", file=sys.stderr)
    )
    report = Report(
        device=f"simulated:{arguments.gpu}",
        simulated=True,
        note=NOTE,
        command=shlex.join(["treadle", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        requests=arguments.requests,
        deadlines=_deadlines(chosen),
        rows=tuple(rows),
    )
    _show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return 0


def _deadlines(chosen: Mapping[str, Sequence[Architecture]]) -> tuple[Deadline, ...]:
    found = dict.fromkeys(one for architectures in chosen.values() for one in architectures)
    return tuple(Deadline(one.name, one.service, one.deadline) for one in found)


def _show(report: Report, console: Console) -> None:
    title = f"Requests/s of which 99 % are answered in time on {report.device} (simulated, not measured)"
    table = Table(title=title, title_justify="left")
    table.add_column("models")
    table.add_column("tenants", justify="right")
    for way in WAYS:
        table.add_column(way, justify="right")
    table.add_column("merged", justify="right")
    found = {(row.models, row.tenants, row.way): row for row in report.rows}
    for models, tenants in dict.fromkeys((row.models, row.tenants) for row in report.rows):
        cells = [f"{found[models, tenants, way].goodput_rps:,.0f}" for way in WAYS]
        table.add_row(models, str(tenants), *cells, f"{found[models, tenants, OURS].merged:.1f}")
    console.print(table)
    for one in report.deadlines:
        said = f"{one.network}: {one.service * 1e3:.2f} ms alone, deadline {one.deadline * 1e3:.1f} ms"
        console.print(said, highlight=False)
    console.print(report.note, markup=False, highlight=False)
