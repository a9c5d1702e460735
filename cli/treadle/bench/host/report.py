"""The comparison's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Machine


class Row(msgspec.Struct, frozen=True):
    """`tenants` distinct models of one architecture, each asked once a round; `sessions_seconds`: the fastest round.

    `implementation`: what the tuner chose. Speeds are the sessions' seconds over treadle's: `speed` counts inputs in,
    kernels or segments, outputs out, which is what a session does; `kernel_speed` leaves the copies out,
    `dispatch_speed` counts queues and scheduling, too. `target`: of `speed` at least; `deviation`: the largest
    difference of answers, relative to the largest answer.
    """

    subject: str
    tenants: int
    implementation: str
    sessions_seconds: float
    kernel_speed: float
    speed: float
    dispatch_speed: float
    target: float
    deviation: float

    @property
    def right(self) -> bool:
        """The answers are the sessions'."""
        return self.deviation < 1e-3

    @property
    def reached(self) -> bool:
        """Fast enough, and right."""
        return self.speed >= self.target and self.right


class Report(msgspec.Struct, frozen=True):
    """All rows; `left_out`: subjects that could not be had, and why."""

    machine: Machine
    versions: dict[str, str]
    command: str
    date: str
    rows: tuple[Row, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    gpu_code_ran: bool = False
