"""`treadle bench`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from treadle.bench.host import command as host
from treadle.bench.kernels import command as kernels
from treadle.bench.memory import command as memory
from treadle.bench.progress import Progress
from treadle.bench.scheduling import command as scheduling
from treadle.bench.serving import suites
from treadle.bench.serving.deployment import TREADLE
from treadle.bench.serving.run import Benchmark
from treadle.bench.serving.table import show
from treadle.bench.switching import command as switching
from treadle.load.process import allow_many_files
from treadle.results import page_console, write_result

_SECONDS, _QUICK_SECONDS = 3.0, 1.0
_PAGE_WIDTH = 150
_INTERRUPTED = 130  # as shells report SIGINT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench` takes."""
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    serving = benchmarks.add_parser("serving", help="treadle beside aiohttp with ONNX Runtime, and MLServer")
    serving.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    serving.add_argument("--quick", action="store_true", help="few servers and loads, one round: about two minutes")
    serving.add_argument("--seconds", type=float, metavar="S", help="length of one run of load (default 3; quick 1)")
    serving.set_defaults(run_benchmark=_run_serving)
    merged = benchmarks.add_parser("kernels", help="super-kernels beside sharing a device by time or by space")
    kernels.add_arguments(merged)
    merged.set_defaults(run_benchmark=kernels.run)
    decided = benchmarks.add_parser("scheduling", help="the scheduler over random worlds: misses and decision time")
    scheduling.add_arguments(decided)
    decided.set_defaults(run_benchmark=scheduling.run)
    local = benchmarks.add_parser("host", help="the executor's own work beside plain ONNX Runtime sessions")
    host.add_arguments(local)
    local.set_defaults(run_benchmark=host.run)
    held = benchmarks.add_parser("memory", help="many distinct ResNet-50 in one executor beside ONNX Runtime sessions")
    memory.add_arguments(held)
    held.set_defaults(run_benchmark=memory.run)
    tiered = benchmarks.add_parser("switching", help="automatic tiers beside each tier alone, through a load spike")
    switching.add_arguments(tiered)
    tiered.set_defaults(run_benchmark=switching.run)


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark that was asked for; its exit code."""
    return int(arguments.run_benchmark(arguments))


def _run_serving(arguments: argparse.Namespace) -> int:
    """0 done (peers that could not be measured are named), 1 treadle itself could not be measured, 2 wrong usage,
    130 interrupted.
    """
    seconds = arguments.seconds or (_QUICK_SECONDS if arguments.quick else _SECONDS)
    if not 0.5 <= seconds <= 60:
        print(f"--seconds {seconds:g}: expected 0.5 to 60", file=sys.stderr)
        return 2
    allow_many_files()  # servers inherit it
    plan = suites.quick(seconds) if arguments.quick else suites.full(seconds)
    try:
        return asyncio.run(_serving(plan, arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; nothing was written", file=sys.stderr)
        return _INTERRUPTED


async def _serving(plan: suites.Plan, arguments: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    command = shlex.join(["treadle", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder, Progress(Console(stderr=True)) as progress:
        report = await Benchmark(plan, Path(folder), progress).run(quick=arguments.quick, command=command)
    show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(any(one.server.startswith(TREADLE) for one in report.left_out))
