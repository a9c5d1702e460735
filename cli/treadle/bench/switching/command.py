"""`treadle bench switching`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from treadle.bench.interruption import run_until_interrupted
from treadle.bench.progress import Progress
from treadle.bench.serving.server import ServerError
from treadle.load.process import GeneratorError, allow_many_files
from treadle.results import page_console, write_result

_PAGE_WIDTH = 170


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench switching` takes."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--quick", action="store_true", help="two deadlines, one short round: about two minutes")


def run(arguments: argparse.Namespace) -> int:
    """Measure: 0 done, 1 the server failed or a target was missed, 2 something is not installed, 130 interrupted."""
    if find_spec("sklearn") is None:
        print("bench switching needs scikit-learn's digits: pip install 'treadle[demo]'", file=sys.stderr)
        return 2
    allow_many_files()  # servers inherit it
    try:
        return run_until_interrupted(_run(arguments))
    except (ServerError, GeneratorError) as error:
        print(error, file=sys.stderr)
        return 1


async def _run(arguments: argparse.Namespace) -> int:
    from treadle.bench.switching.run import FULL, QUICK, Benchmark
    from treadle.bench.switching.table import show

    command = shlex.join(["treadle", *sys.argv[1:]])
    plan = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder, Progress(Console(stderr=True)) as progress:
        report = await Benchmark(plan, Path(folder), progress).run(quick=arguments.quick, command=command)
    show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(not all(check.reached for check in report.checks))
