"""`treadle profile`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from treadle.profile import advice, measured, tuned
from treadle.profile.clusters import clusters
from treadle.profile.latency import command as latency
from treadle.profile.models import Model, UnprofiledError, load
from treadle.profile.report import ClusterRow, KernelRow, Profile
from treadle.profile.table import show
from treadle.results import page_console, result_text
from treadle_agent.cache import cache_folder
from treadle_agent.executor.cuda import opening
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.gpu_model import GPUS, GpuModel, Product
from treadle_agent.executor.gpu_work import steps
from treadle_agent.policy.coalescing import PADDING_LIMIT
from treadle_agent.program.model import Shape

_AUTO, _SIMULATED = "auto", "simulated:V100"
_SHORTEST, _LONGEST = 0.1, 60.0
_PAGE_WIDTH = 160
_SHAPE = re.compile(r"(.+)=(\d+(?:x\d+)*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle profile` takes."""
    parser.add_argument(
        "models", type=Path, nargs="*", metavar="MODEL", help="ONNX files, for --clusters and --kernels"
    )
    parser.add_argument(
        "-f", "--filename", type=Path, metavar="FILE", help="an InferenceTenant: measure its tiers by batch and by load"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="S", help="with -f: of each measurement (default %(default)g)"
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help="with -f: write ModelProfile manifests here")
    parser.add_argument("--apply", action="store_true", help="with -f: write the ModelProfiles into a cluster")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="with --apply: which one (default: as kubectl)")
    parser.add_argument("--clusters", action="store_true", help="products by shape: what padding could merge")
    parser.add_argument("--kernels", action="store_true", help="implementation, tile and number of problems by kernel")
    parser.add_argument(
        "--device",
        metavar="D",
        help="auto, host, cuda or simulated:V100, :A100, :H100 (default simulated:V100; with -f auto)",
    )
    parser.add_argument(
        "--shape", type=_shape, action="append", default=[], metavar="INPUT=AxBxC", help="of an input with free sizes"
    )
    parser.add_argument(
        "--padding", type=float, default=PADDING_LIMIT, metavar="SHARE", help="of arithmetic at most (default 0.25)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the clusters, or with -f the curves, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the profile here")


def run(arguments: argparse.Namespace) -> int:
    """Profile: 0 done, 1 a model cannot be profiled, 2 wrong usage."""
    if (problem := _wrong(arguments)) is not None:
        print(f"treadle profile: {problem} (treadle profile --help)", file=sys.stderr)
        return 2
    try:
        device = choose_device(arguments.device or (_AUTO if arguments.filename else _SIMULATED))
        if arguments.filename:
            return latency.run(arguments, device)
        models = [load(path, cache_folder() / "artifacts", dict(arguments.shape)) for path in arguments.models]
        kernels = _kernels(models, device) if arguments.kernels else ()
    except DeviceError as error:
        print(f"treadle profile: {error}", file=sys.stderr)
        return 2
    except UnprofiledError as error:
        print(f"treadle profile: {error}", file=sys.stderr)
        return 1
    profile = Profile(
        device=device,
        simulated=device.startswith("simulated"),
        models=tuple(model.name for model in models),
        padding_limit=arguments.padding,
        clusters=_clusters(models, arguments.padding) if arguments.clusters else (),
        kernels=kernels,
    )
    show(profile, page_console(_PAGE_WIDTH))
    if arguments.json:
        arguments.json.write_bytes(result_text(profile))
    if arguments.plot:
        from treadle.profile.plot import draw

        arguments.plot.write_text(draw(profile))
    return 0


def _wrong(arguments: argparse.Namespace) -> str | None:
    if arguments.plot and find_spec("matplotlib") is None:
        return "--plot: matplotlib is not installed: pip install 'treadle[demo]'"
    if arguments.kubeconfig and not arguments.apply:
        return "--kubeconfig says where --apply writes: say --apply, too"
    return _wrong_tenant(arguments) if arguments.filename else _wrong_models(arguments)


def _wrong_tenant(arguments: argparse.Namespace) -> str | None:
    if arguments.models or arguments.clusters or arguments.kernels:
        return "-f profiles a tenant by itself: leave out MODEL, --clusters and --kernels"
    if not _SHORTEST <= arguments.seconds <= _LONGEST:
        return f"--seconds {arguments.seconds:g}: expected {_SHORTEST:g} to {_LONGEST:g}"
    return None


def _wrong_models(arguments: argparse.Namespace) -> str | None:
    if not arguments.models:
        return "say what to profile: -f TENANT, or MODEL files"
    if arguments.write or arguments.apply:
        return "--write and --apply write what -f measures: say -f, too"
    if not (arguments.clusters or arguments.kernels):
        return "say what to profile: --clusters, --kernels or both"
    if not 0 <= arguments.padding < 1:
        return f"--padding {arguments.padding:g}: expected 0 to below 1"
    if arguments.plot and not arguments.clusters:
        return "--plot draws clusters: say --clusters, too"
    return None


def _shape(text: str) -> tuple[str, Shape]:
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected INPUT=AxBxC, as x=1x3x48x320")
    return match[1], tuple(map(int, match[2].split("x")))


def _clusters(models: Sequence[Model], limit: float) -> tuple[ClusterRow, ...]:
    counted: Counter[Product] = Counter()
    for model in models:
        for kernel in model.program.kernels:
            for step in steps(model.program, kernel):
                if isinstance(step.work, Product):
                    counted[step.work] += step.problems
    return tuple(
        ClusterRow(
            one.shape.m, one.shape.n, one.shape.k,
            tuple((product.m, product.n, product.k, count) for product, count in one.members.items()), one.padding,
        )
        for one in clusters(counted, limit)
    )  # fmt: skip


def _kernels(models: Sequence[Model], device: str) -> tuple[KernelRow, ...]:
    if device == "host":
        return tuple(row for model in models for row in measured.rows(model))
    if device == "cuda":
        tuner = opening.open_tuner()
        return tuple(row for model in models for row in tuned.rows(model, tuner))
    gpu = GpuModel(GPUS[device.partition(":")[2]])
    return tuple(row for model in models for row in advice.rows(gpu, model.name, model.program))
