"""`treadle bench`: finds the benchmark that is asked for; each is a module as a subcommand of `treadle` is."""

from __future__ import annotations

import argparse

from treadle.bench.host import command as host
from treadle.bench.kernels import command as kernels
from treadle.bench.memory import command as memory
from treadle.bench.scheduling import command as scheduling
from treadle.bench.serving import command as serving
from treadle.bench.switching import command as switching

_BENCHMARKS = (
    ("serving", serving, "treadle beside aiohttp with ONNX Runtime, and MLServer"),
    ("kernels", kernels, "super-kernels beside sharing a device by time or by space"),
    ("scheduling", scheduling, "the scheduler over random worlds: misses and decision time"),
    ("host", host, "the executor's own work beside plain ONNX Runtime sessions"),
    ("memory", memory, "many distinct ResNet-50 in one executor beside ONNX Runtime sessions"),
    ("switching", switching, "automatic tiers beside each tier alone, through a load spike"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench` takes."""
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name, module, about in _BENCHMARKS:
        benchmark = benchmarks.add_parser(name, help=about)
        module.add_arguments(benchmark)
        benchmark.set_defaults(run_benchmark=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmark that was asked for; its exit code."""
    return int(arguments.run_benchmark(arguments))
