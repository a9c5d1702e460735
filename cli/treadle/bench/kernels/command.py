"""`treadle bench kernels`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from treadle.bench.kernels import cuda, host, simulated
from treadle.bench.kernels.checks import checks
from treadle.bench.kernels.problems import RANGE
from treadle.bench.kernels.report import Report
from treadle.bench.kernels.table import show
from treadle.bench.machine import gpu_facts, machine
from treadle.results import page_console, write_result
from treadle_agent.executor.cuda.gpu import open_gpu
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.gpu_model import GPUS, GpuModel

_PAGE_WIDTH = 120
_COMPARED = "V100"  # the paper's GPU
_SIMULATED = (
    "Every figure is simulated by the model of docs/adr/0010-simulated-gpu.md; no GPU code has run. Single values of "
    "R, and the square problem's jump from R = 10 to R = 20, lie outside such a model, and are not fitted."
)
_MEASURED = (
    "Measured on this machine's processor, where the paper had a V100: its figures stand beside for orientation."
)

_ON_GPU = "Measured on this machine's GPU, by its own clock, where the paper had a V100."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench kernels` takes."""
    parser.add_argument(
        "--device",
        default=f"simulated:{_COMPARED}",
        metavar="D",
        help="simulated:V100, :A100, :H100, host or cuda (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    """Compare: 0 done, 1 the simulated V100 misses a target, 2 wrong usage."""
    try:
        device = choose_device(arguments.device)
    except DeviceError as error:
        print(f"treadle bench kernels: {error}", file=sys.stderr)
        return 2
    report = _report(device)
    show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        write_result(arguments.json, report)
    return int(not all(check.reached for check in report.checks))


def _report(device: str) -> Report:
    command = shlex.join(["treadle", *sys.argv[1:]])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    if device == "host":
        rows = tuple(host.table(lambda problem: print(f"measuring {problem} …", file=sys.stderr)))
        return Report(device, False, _MEASURED, command, date, machine(), host.R, rows)  # noqa: FBT003
    if device == "cuda":
        found = tuple(cuda.table(open_gpu(), lambda problem: print(f"measuring {problem} …", file=sys.stderr)))
        return Report(device, False, _ON_GPU, command, date, machine(), tuple(RANGE), found, gpu=gpu_facts())  # noqa: FBT003
    gpu = GPUS[device.partition(":")[2]]
    rows = tuple(simulated.table(GpuModel(gpu)))
    judged = tuple(checks(rows)) if gpu.name == _COMPARED else ()
    ablations = tuple(simulated.ablations(gpu))
    return Report(device, True, _SIMULATED, command, date, machine(), tuple(RANGE), rows, ablations, judged)  # noqa: FBT003
