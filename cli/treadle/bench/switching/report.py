"""The benchmark's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Check, Machine

SWITCHING = "switching"


class Tier(msgspec.Struct, frozen=True):
    """A tier: `accuracy` in percent of the requests' own digits; answers a second in a closed loop over HTTP."""

    name: str
    accuracy: float
    saturation_rps: float


class Row(msgspec.Struct, frozen=True):
    """A contestant under a deadline: medians over rounds; `switching`, or the tier that it is pinned to.

    `effective_accuracy`: percent, counted from the labels in the answers; late, shed and failed requests count 0.
    `declared_accuracy`: the same with the answering tier's accuracy in place of the labels; `scraped_accuracy`: what
    the server's counters say of it. `counted_of_sent`: requests in the outcome counters over those sent.
    """

    contestant: str
    deadline_ms: float
    sent: float
    effective_accuracy: float
    declared_accuracy: float
    scraped_accuracy: float
    counted_of_sent: float
    violation_ratio: float
    shed_ratio: float
    p99_ms: float | None
    switches_per_request: float
    share_by_tier: dict[str, float]


class Decisions(msgspec.Struct, frozen=True):
    """What taking a request in, choosing its tier and taking it out of its queue costs, in microseconds."""

    p50_us: float
    p99_us: float
    tiers: int
    waiting: int


class Report(msgspec.Struct, frozen=True):
    """One benchmark. `rates`: requests/s from second on, of each run."""

    machine: Machine
    versions: dict[str, str]
    command: str
    date: str
    quick: bool
    rounds: int
    seconds: float
    rates: tuple[tuple[float, float], ...]
    tiers: tuple[Tier, ...]
    decisions: Decisions
    rows: tuple[Row, ...]
    checks: tuple[Check, ...] = ()
