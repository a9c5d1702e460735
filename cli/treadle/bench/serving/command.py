"""`treadle bench serving`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from treadle.bench.interruption import run_until_interrupted
from treadle.bench.progress import Progress
from treadle.bench.serving import suites
from treadle.bench.serving.deployment import TREADLE
from treadle.bench.serving.run import Benchmark
from treadle.bench.serving.table import show
from treadle.load.process import allow_many_files
from treadle.results import page_console, write_result

_SECONDS, _QUICK_SECONDS = 3.0, 1.0
_PAGE_WIDTH = 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench serving` takes."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--quick", action="store_true", help="few servers and loads, one round: about two minutes")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of one run of load (default 3; quick 1)")


def run(arguments: argparse.Namespace) -> int:
    """Measure: 0 done (peers that could not be measured are named), 1 treadle itself could not be measured, 2 wrong
    usage, 130 interrupted.
    """
    seconds = arguments.seconds or (_QUICK_SECONDS if arguments.quick else _SECONDS)
    if not 0.5 <= seconds <= 60:
        print(f"--seconds {seconds:g}: expected 0.5 to 60", file=sys.stderr)
        return 2
    allow_many_files()  # servers inherit it
    plan = suites.quick(seconds) if arguments.quick else suites.full(seconds)
    return run_until_interrupted(_measure(plan, arguments))


async def _measure(plan: suites.Plan, arguments: argparse.Namespace) -> int:
    command = shlex.join(["treadle", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder, Progress(Console(stderr=True)) as progress:
        report = await Benchmark(plan, Path(folder), progress).run(quick=arguments.quick, command=command)
    show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(any(one.server.startswith(TREADLE) for one in report.left_out))
