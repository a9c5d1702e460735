"""The comparison's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Machine


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem at R (`r`: a number, or `geomean` over all R of the report).

    `ratio`: speed of the super-kernel over the `next_best` of sharing by time and by space; `paper`: the same in the
    paper, where it is quoted; `over_time`: speed over sharing by time; `space_over_time`: of space over time;
    `over_library`: speed of the super-kernel over the vendor's batched product, where there is one.
    """

    problem: str
    r: str
    ratio: float
    paper: float | None
    next_best: str
    over_time: float
    space_over_time: float
    over_library: float | None = None


class Ablation(msgspec.Struct, frozen=True):
    """The geometric means with one rule of the model changed."""

    rule: str
    rows: tuple[Row, ...]


class Check(msgspec.Struct, frozen=True):
    """A target, and the figure that it judges."""

    name: str
    what: str
    measured: float
    reached: bool


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One comparison. `simulated`: seconds come from a model, nothing ran on such a device; `r`: all R compared;
    `gpu`: the real one's name, driver and versions.
    """

    device: str
    simulated: bool
    note: str
    command: str
    date: str
    machine: Machine
    r: tuple[int, ...]
    rows: tuple[Row, ...]
    ablations: tuple[Ablation, ...] = ()
    checks: tuple[Check, ...] = ()
    gpu: dict[str, str] | None = None
