"""`treadle simulate multiplexing`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from treadle.results import page_console, write_result
from treadle.simulate.multiplexing.report import Report
from treadle.simulate.multiplexing.study import study
from treadle_agent.executor.gpu_model import GPUS

_PAGE_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle simulate multiplexing` takes."""
    parser.add_argument("--gpu", choices=tuple(GPUS), default="V100", help="which analytic GPU (default V100)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the hardware's choices (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the figures here, as SVG")


def run(arguments: argparse.Namespace) -> int:
    """Simulate: 0 done, 2 plots are wanted and matplotlib is missing."""
    if arguments.plots and find_spec("matplotlib") is None:
        print("--plots: matplotlib is not installed: pip install 'treadle[demo]'", file=sys.stderr)
        return 2
    command = shlex.join(["treadle", *sys.argv[1:]])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    report = study(GPUS[arguments.gpu], arguments.seed, command=command, date=date)
    _show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    if arguments.plots:
        from treadle.simulate.multiplexing import plots

        arguments.plots.mkdir(parents=True, exist_ok=True)
        for name, draw in plots.ALL.items():
            (arguments.plots / name).write_text(draw(report))
    return 0


def _show(report: Report, console: Console) -> None:
    table = Table(title=f"Sharing {report.device} (simulated, not measured), beside the papers", title_justify="left")
    for column in ("figure", "simulated", "paper", "source"):
        table.add_column(column, justify="right" if column in {"simulated", "paper"} else "left")
    for one in report.compared:
        table.add_row(one.what, f"{one.simulated:.3g}", f"{one.paper:.3g}", one.source)
    console.print(table)
    table = Table(title="Slowdown over a batch of as many requests", title_justify="left")
    for column in ("network", "tenants", "time", "space", "merged"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in report.slowdowns:
        if row.tenants in {2, 4, 8, 14}:
            cells = (f"{row.time:.2f}", f"{row.space:.2f}", f"{row.merged:.2f}")
            table.add_row(row.network, str(row.tenants), *cells)
    console.print(table)
    console.print(report.note, markup=False, highlight=False)
