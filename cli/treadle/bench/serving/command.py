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
from treadle.bench.serving.deployment import SPACE_TIME, TREADLE
from treadle.bench.serving.run import Benchmark
from treadle.bench.serving.table import show
from treadle.bench.sharing import table as sharing_table
from treadle.bench.sharing.run import QUICK, SUITES, Comparison
from treadle.load.process import allow_many_files
from treadle.results import page_console, write_result
from treadle_agent.executor.devices import DeviceError, choose_device

_SECONDS, _QUICK_SECONDS = 3.0, 1.0
_PAGE_WIDTH = 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench serving` takes."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--quick", action="store_true", help="few servers and loads, one round: about two minutes")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of one run of load (default 3; quick 1)")
    parser.add_argument(
        "--device", default="host", metavar="D", help="host: beside other servers; cuda: ways to share a GPU"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure: 0 done (peers that could not be measured are named), 1 treadle itself could not be measured, 2 wrong
    usage, 130 interrupted.
    """
    seconds = arguments.seconds or (_QUICK_SECONDS if arguments.quick else _SECONDS)
    if not 0.5 <= seconds <= 60:
        print(f"--seconds {seconds:g}: expected 0.5 to 60", file=sys.stderr)
        return 2
    try:
        device = choose_device(arguments.device)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 2
    if device not in {"host", "cuda"}:
        print(f"--device {device}: must be host or cuda, which are measured", file=sys.stderr)
        return 2
    allow_many_files()  # servers inherit it
    if device == "cuda":
        return run_until_interrupted(_share(device, arguments, seconds))
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


async def _share(device: str, arguments: argparse.Namespace, seconds: float) -> int:
    command = shlex.join(["treadle", *sys.argv[1:]])
    suites_, rounds = (QUICK, 1) if arguments.quick else (SUITES, 3)
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder, Progress(Console(stderr=True)) as progress:
        report = await Comparison(device, Path(folder), progress).run(suites_, seconds, rounds, command)
    sharing_table.show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(any(one.server == SPACE_TIME.removeprefix(TREADLE) for one in report.left_out))
