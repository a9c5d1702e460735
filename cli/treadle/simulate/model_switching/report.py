"""The result as it stands in the JSON file. Every figure in it is simulated."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Check

STICKY, ALGORITHM1, SLACK_BUCKETS, PLACEMENT = "sticky-slack", "algorithm1", "slack-buckets", "placement"
SINGLE, SHEDDING = "single:", "single+shed:"


class Row(msgspec.Struct, frozen=True):
    """A policy in a scenario: means over seeds, the same arrivals for all policies.

    Accuracies are in percent, of requests answered in time; ratios are of all requests. `first_degradation_s`: from the
    rate's steepest rise to the first request begun at a less accurate tier than before it, the longest of all seeds.
    `p99_ms`: of the requests that were answered, however late.
    """

    policy: str
    deadline_ms: float
    profile_error: float
    switch_cost_ms: float
    effective_accuracy: float
    accuracy_of_answered: float | None
    violation_ratio: float
    shed_ratio: float
    switches_per_request: float
    first_degradation_s: float | None
    p99_ms: float | None
    effective_accuracy_by_seed: tuple[float, ...]


class Neighbour(msgspec.Struct, frozen=True):
    """Two tenants on one device, one of which is `burst` times as loud for a while; `violation_ratio` and
    `effective_accuracy` are the quiet one's.
    """

    deadline_ms: float
    burst: float
    violation_ratio: float
    effective_accuracy: float
    loud_violation_ratio: float
    loud_effective_accuracy: float


class Parallel(msgspec.Struct, frozen=True):
    """The ⟨R, T⟩ that Algorithm 1's search chose for a tier, and the load up to which it keeps the deadline."""

    tier: str
    deadline_ms: float
    replicas: int
    threads: int
    requests_per_second: float


class Curve(msgspec.Struct, frozen=True):
    """A line of a figure."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Tier(msgspec.Struct, frozen=True):
    """A tier of the simulated tenant; `saturation` in requests/s of all servers."""

    name: str
    accuracy: float
    saturation: float


class Figures(msgspec.Struct, frozen=True):
    """What the plots show. `timeline` by policy: requests a second by tier that was in time, then those that were not.

    `load_accuracy`: effective accuracy by offered load, a tier each; `tails`: P99 seconds by load, an ⟨R, T⟩ each;
    `latency`: percent of all requests that were answered within milliseconds, a policy each.
    """

    load_accuracy: tuple[Curve, ...]
    tails: tuple[Curve, ...]
    offered: Curve
    timeline: dict[str, tuple[Curve, ...]]
    latency: tuple[Curve, ...]


class Report(msgspec.Struct, frozen=True):
    """One simulation; `fluid_bound`: percent, the best mix of tiers for the first scenario, if requests flowed."""

    fluid_bound: float
    rows: tuple[Row, ...]
    command: str
    date: str
    seeds: int
    servers: int
    seconds: float
    arrivals: str
    rates: str
    tiers: tuple[Tier, ...]
    simulated: bool = True
    neighbours: tuple[Neighbour, ...] = ()
    parallel: tuple[Parallel, ...] = ()
    figures: Figures | None = None
    checks: tuple[Check, ...] = ()
