"""The committed results that stand beside the papers, and what is held to a range of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from treadle.bench.kernels.problems import GEOMEAN
from treadle.bench.kernels.report import Report as Kernels
from treadle.bench.memory.report import FROM_FILES
from treadle.bench.memory.report import Report as Memory
from treadle.simulate.goodput.report import Report as Goodput
from treadle.simulate.goodput.study import ALSO_OURS, OURS
from treadle.simulate.multiplexing.report import Report as Multiplexing

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Results:
    """One file each."""

    kernels: Kernels
    host: Kernels
    multiplexing: Multiplexing
    goodput: Goodput
    memory: Memory


def read(folder: Path = RESULTS) -> Results:
    """The committed results."""

    def one(name: str, type_: type[T]) -> T:
        return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=type_)

    return Results(
        kernels=one("kernels-simulated-v100", Kernels),
        host=one("kernels-host", Kernels),
        multiplexing=one("multiplexing", Multiplexing),
        goodput=one("goodput", Goodput),
        memory=one("memory", Memory),
    )


def figures(results: Results) -> dict[str, float]:
    """Ratios by name: the keys of the committed ranges."""
    return dict(_figures(results))


def delays(report: Goodput) -> Iterable[tuple[str, int, float]]:
    """By models and tenants: the load that space-time carries over what it does when it holds no launch back."""
    found = {(row.models, row.tenants, row.way): row.goodput_rps for row in report.rows}
    for models, tenants, way in found:
        if way == OURS:
            yield models, tenants, found[models, tenants, OURS] / found[models, tenants, ALSO_OURS]


def gains(report: Goodput) -> Iterable[tuple[str, int, float]]:
    """By models and tenants: the load that space-time carries over the next best way's."""
    for models, tenants in dict.fromkeys((row.models, row.tenants) for row in report.rows):
        found = {row.way: row.goodput_rps for row in report.rows if (row.models, row.tenants) == (models, tenants)}
        yield models, tenants, found[OURS] / max(rate for way, rate in found.items() if way not in {OURS, ALSO_OURS})


def _figures(results: Results) -> Iterable[tuple[str, float]]:
    for row in results.kernels.rows:
        if row.r == GEOMEAN:
            yield f"table1-{row.problem}", row.ratio
            yield f"table1-{row.problem}-over-time", row.over_time
    for row in results.host.rows:
        if row.r == GEOMEAN:
            yield f"host-{row.problem}", row.ratio
    for one in results.multiplexing.compared:
        yield one.name, one.simulated
    found = {one.name: one.simulated for one in results.multiplexing.compared}
    for company in ("alone", "multiplexed"):
        yield f"collaborative-over-greedy-{company}", found[f"collaborative-{company}"] / found[f"greedy-{company}"]
    for models, tenants, gain in gains(results.goodput):
        yield f"goodput-{models}-{tenants}", gain
    for models, tenants, gain in delays(results.goodput):
        yield f"delay-{models}-{tenants}", gain
    yield "memory-from-bytes", results.memory.ratio
    yield "memory-from-files", next(one.ratio for one in results.memory.held if one.server == FROM_FILES)
