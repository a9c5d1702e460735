"""The comparison's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import LeftOut, Machine


class Row(msgspec.Struct, frozen=True):
    """A way at a number of tenants, each with a few requests under way all the time: medians over rounds.

    `spread`: mean latency of the slowest tenant over the fastest's; `merge_factor`: mean problems of a launch.
    """

    suite: str
    tenants: int
    way: str
    rps: float
    p50_ms: float
    p99_ms: float
    spread: float
    merge_factor: float


class Report(msgspec.Struct, frozen=True):
    """One comparison on `device`; `gpu`: its name, driver and versions, None where it is none.

    `gpu_code_ran`: whether a GPU computed any of the rows.
    """

    device: str
    gpu: dict[str, str] | None
    note: str
    command: str
    date: str
    machine: Machine
    versions: dict[str, str]
    seconds: float
    rounds: int
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    gpu_code_ran: bool
