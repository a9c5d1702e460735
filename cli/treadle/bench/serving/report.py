"""The benchmark's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True):
    """A server under an offered load: medians over rounds. `load` is a multiple of the server's own saturation;
    counts are of one round. A missing figure (no answer, no launch) is None.
    """

    suite: str
    server: str
    load: float
    offered_rps: float
    goodput_rps: float
    answered_rps: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_ms_per_request: float
    merge_factor: float | None
    late: float
    refused: float
    failed: float
    unanswered: float
    generator_load: float  # share of one core


class Saturation(msgspec.Struct, frozen=True):
    """Answers per second in a closed loop: the median of `runs`; of the executor alone, the merge factor meanwhile."""

    suite: str
    server: str
    rps: float
    runs: tuple[float, ...]
    merge_factor: float | None = None


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of a server's processes with one tenant and with `tenants` of the same architecture; `weights_mb`
    is the weights of the others.
    """

    suite: str
    server: str
    tenants: int
    weights_mb: float
    rss_mb_one: float
    rss_mb_all: float
    pss_mb_one: float
    pss_mb_all: float

    @property
    def growth_mb(self) -> float:
        """What the other tenants cost."""
        return self.rss_mb_all - self.rss_mb_one


class LeftOut(msgspec.Struct, frozen=True):
    """What could not be measured, and why."""

    suite: str
    server: str
    reason: str


class Check(msgspec.Struct, frozen=True):
    """A target: `measured` must be at least (or at most) `target`; None where this run did not measure it."""

    name: str
    what: str
    relation: str  # "at least" or "at most"
    target: float
    measured: float | None
    reached: bool | None


class Machine(msgspec.Struct, frozen=True):
    """Where the figures come from."""

    processor: str
    cores: int
    memory_gb: float
    system: str


class Report(msgspec.Struct, frozen=True):
    """One benchmark. `limit_rps`: the load generator's own limit on this machine."""

    machine: Machine
    versions: dict[str, str]
    command: str
    date: str
    quick: bool
    seconds: float
    rounds: int
    limit_rps: float
    saturation: tuple[Saturation, ...]
    rows: tuple[Row, ...]
    memory: tuple[Memory, ...]
    left_out: tuple[LeftOut, ...]
    checks: tuple[Check, ...] = ()
