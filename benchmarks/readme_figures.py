"""Write README's section of figures from committed results, so that none is typed by hand.

python benchmarks/readme_figures.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from tables import table
from treadle.bench.host.report import Report as HostReport
from treadle.bench.kernels.report import Report as KernelsReport
from treadle.bench.memory.report import FROM_FILES, YARDSTICK
from treadle.bench.memory.report import TARGET as MEMORY_TARGET
from treadle.bench.memory.report import Report as MemoryReport
from treadle.bench.scheduling.report import DECISION, MORE_MISSES
from treadle.bench.scheduling.report import Report as SchedulingReport
from treadle.bench.serving.report import Check, Report
from treadle.bench.switching.report import Report as SwitchingReport

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- figures: written by benchmarks/readme_figures.py -->\n", "<!-- end of figures -->\n"

R = TypeVar("R")
_WANTED = {
    "delay-known": "0",
    "delay-misses-0": f"at most {MORE_MISSES:g}",
    "delay-misses-0.2": f"at most {MORE_MISSES:g}",
    "decision-p99": f"at most {DECISION * 1e6:g}",
    "decision-growth": "at most 1",
}
_TEXT = """\
Ratios, each measured in one run on {processor}, {cores} cores, {memory:g} GB; the device is `host`: no GPU code ran.
All targets are shown, also those that were missed. (a) is an aiohttp server with one ONNX Runtime session a tenant.

{targets}
At twice their saturation servers with unbounded queues answer nearly everything late; ones with bounded queues are in
[docs/performance.md](docs/performance.md), too. With three tiers, through a load spike, over real HTTP
(`make switching-live`), effective accuracy is {gain:+.1f} points above the best single tier's over the deadlines, and
{worst:+.1f} at the worst one: [docs/switching.md](docs/switching.md).

The executor alone ([docs/executor.md](docs/executor.md)); 60 models in memory, and the papers' Table 1 on a *simulated*
V100 ([docs/papers.md](docs/papers.md)):

{executor}
"""


class Results(NamedTuple):
    """The committed results that README quotes."""

    serving: Report
    switching: SwitchingReport
    host: HostReport
    scheduling: SchedulingReport
    memory: MemoryReport
    kernels: KernelsReport


def render(readme: str, results: Results) -> str:
    """README with the section anew.

    Raises:
        ValueError: it has no place for it.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README has no lines {BEGIN!r} and {END!r}")
    serving = results.serving
    measured = {check.name: check.measured or 0.0 for check in results.switching.checks}
    machine = serving.machine
    text = _TEXT.format(
        processor=machine.processor,
        cores=machine.cores,
        memory=machine.memory_gb,
        targets=table((f"`make bench`, {serving.date[:10]}", "to reach", "measured"), map(_cells, serving.checks)),
        gain=measured["sweep"],
        worst=measured["any-deadline"],
        executor=table(("what", "to reach", "measured"), _executor(results)),
    )
    return f"{head}{begin}{text}{end}{tail}"


def _cells(check: Check) -> tuple[str, str, str]:
    figure = "not measured" if check.measured is None else f"{check.measured:,.2f}"
    return check.what, f"{check.relation} {check.target:g}", figure + _missed(check.reached)


def _missed(reached: object) -> str:
    return " (**missed**)" if reached is False else ""


def _executor(results: Results) -> Iterator[tuple[str, str, str]]:
    for row in results.host.rows:
        tenants = f"{row.tenants} tenants" if row.tenants > 1 else "one tenant"
        what = f"{row.subject}, {tenants}, {row.implementation}: speed over a session a tenant"
        yield what, f"at least {row.target:.2f}", f"{row.speed:.2f}{_missed(row.reached)}"
    for check in results.scheduling.checks:
        yield check.what, _WANTED[check.name], f"{check.measured:.4g}{_missed(check.reached)}"
    memory = results.memory
    for one in memory.held:
        if one.server in {YARDSTICK, FROM_FILES}:
            wanted, missed = (f"at most {MEMORY_TARGET:g}", memory.reached) if one.server == YARDSTICK else ("", None)
            what = f"{memory.models} × {memory.model}: memory over that of {one.server}"
            yield what, wanted, f"{one.ratio:.2f}{_missed(missed)}"
    for row in results.kernels.rows:
        if row.r == "geomean":
            paper = "" if row.paper is None else f"{row.paper:g} in the paper"
            yield (
                f"{row.problem}, simulated: super-kernel over the next best, geometric mean",
                paper,
                f"{row.ratio:.2f}",
            )


def read() -> Results:
    """The committed results."""

    def decode(name: str, type_: type[R]) -> R:
        return msgspec.json.decode((RESULTS / f"{name}.json").read_bytes(), type=type_)

    return Results(
        decode("serving", Report),
        decode("switching", SwitchingReport),
        decode("host", HostReport),
        decode("scheduling", SchedulingReport),
        decode("memory", MemoryReport),
        decode("kernels-simulated-v100", KernelsReport),
    )


if __name__ == "__main__":
    README.write_text(render(README.read_text(), read()))
