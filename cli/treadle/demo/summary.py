"""What the demo found out, as frozen figures: the report, the JSON file and the exit code all read these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from treadle.demo.runs import Run
from treadle.demo.scoring import ANSWERED, Score, between, of_targets, outcomes, score
from treadle.demo.tenants import Tenant
from treadle.demo.traffic import spike
from treadle.load.records import LOST

TIERED = "pages"  # the family whose tenants have several tiers
CONFIDENCE = 2.0  # standard errors
MAIN, AUTOMATIC, PINNED, FIFO = "main", "treadle", "treadle-pinned-", "onnxruntime-fifo"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A run's scores: of all requests, of those to the tenants with several tiers, and of the latter in the spike.

    `tiers`: answers of the tenants with several tiers, by tier.
    """

    name: str
    label: str
    seconds: float
    everything: Score
    tiered: Score
    tiered_in_spike: Score
    tiers: Mapping[str, int]
    merge_factor: float | None
    launches: int | None
    problems: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """`tenants`: each tenant's score in the main run; `failures`: what went wrong, in words; none: the demo passed.
    `missing`: what was left out since this machine could not get it.
    """

    contestants: tuple[Contestant, ...]
    tenants: Mapping[str, Score]
    failures: tuple[str, ...]
    missing: tuple[str, ...]


def summarise(
    tenants: Sequence[Tenant], runs: Sequence[Run], failures: Sequence[str], missing: Sequence[str] = ()
) -> Summary:
    """The figures of `runs`, and all failures: those known already and those that the figures show."""
    contestants = tuple(contest(tenants, run) for run in runs)
    deadlines = [tenant.deadline for tenant in tenants]
    main = next((run for run in runs if run.name == MAIN), None)
    by_tenant = {
        tenant.name: score(of_targets(main.records, [index]), deadlines)
        for index, tenant in enumerate(tenants)
        if main is not None
    }
    found = [*failures, *beaten(contestants)]
    if main is not None and main.complete:
        found += unserved(by_tenant)
    for run in runs:
        if run.name != FIFO:
            found += broken(tenants, run)
    return Summary(contestants, by_tenant, tuple(found), tuple(missing))


def contest(tenants: Sequence[Tenant], run: Run) -> Contestant:
    """The scores of one run."""
    deadlines = [tenant.deadline for tenant in tenants]
    tiered = of_targets(run.records, [i for i, tenant in enumerate(tenants) if tenant.family == TIERED])
    counters = run.counters
    return Contestant(
        name=run.name,
        label=run.label,
        seconds=run.seconds,
        everything=score(run.records, deadlines),
        tiered=score(tiered, deadlines),
        tiered_in_spike=score(between(tiered, *spike(run.seconds)), deadlines),
        tiers={
            name: count
            for index, name in enumerate(run.tiers)
            if (count := int(np.sum(tiered["tier"][tiered["status"] == ANSWERED] == index)))
        },
        merge_factor=counters.merge_factor if counters else None,
        launches=counters.launches if counters else None,
        problems=counters.problems if counters else None,
    )


def unserved(by_tenant: Mapping[str, Score]) -> list[str]:
    """Tenants that were asked and got nothing in time."""
    return [f"{name} got no answer in time" for name, each in by_tenant.items() if each.sent and not each.good]


def broken(tenants: Sequence[Tenant], run: Run) -> list[str]:
    """Requests to treadle that ended as none may, and counts that differ between client and server."""
    ended = outcomes(run.records, [tenant.deadline for tenant in tenants])
    found = []
    if ended.failed.any():
        statuses, counts = np.unique(run.records["status"][ended.failed], return_counts=True)
        kinds = ", ".join(
            f"{count} × {'connection lost' if status == LOST else f'HTTP {status}'}"
            for status, count in zip(statuses, counts, strict=True)
        )
        found.append(f"{run.label}: requests failed: {kinds}")
    if ended.unanswered.any():
        found.append(f"{run.label}: {ended.unanswered.sum()} requests were never answered")
    if run.complete and run.counters is not None:
        differing = [
            f"{tenant.name} {sent} ≠ {counted}"
            for index, tenant in enumerate(tenants)
            if (sent := len(of_targets(run.records, [index]))) != (counted := run.counters.requests.get(tenant.name, 0))
        ]
        if differing:
            found.append(f"{run.label}: requests sent and counted by /metrics differ: {', '.join(differing)}")
    return found


def beaten(contestants: Sequence[Contestant]) -> list[str]:
    """Whether a single tier, or plain ONNX Runtime, earned more in the spike than choosing did, beyond chance."""
    automatic = next((each.tiered_in_spike for each in contestants if each.name == AUTOMATIC), None)
    if automatic is None:
        return []
    found = []
    for each in contestants:
        rival = each.tiered_in_spike
        chance = CONFIDENCE * math.hypot(automatic.error, rival.error)
        if each.name.startswith((PINNED, FIFO)) and rival.effective_accuracy - automatic.effective_accuracy > chance:
            found.append(
                f"in the spike {each.label} reached {rival.effective_accuracy:.1f} % effective accuracy, "
                f"choosing the tier {automatic.effective_accuracy:.1f} % (± {chance:.1f} by chance)"
            )
    return found


def sentence(summary: Summary) -> str:
    """The demo in one line."""
    main = next((each for each in summary.contestants if each.name == MAIN), None)
    if main is None:
        return "The demo ended before its load began."
    total, served = main.everything, len(summary.tenants)
    tenants = f"{served} of {served + len(summary.missing)}" if summary.missing else f"{served}"
    parts = [
        (
            f"{total.sent} requests to {tenants} tenants: {total.good / max(total.sent, 1):.2%} in time, "
            f"{total.late} late, {total.shed} shed, {total.failed + total.unanswered} failed"
        )
    ]
    if main.merge_factor is not None:
        parts.append(f"{main.merge_factor:.1f} kernels a launch")
    spikes = {each.name: each.tiered_in_spike.effective_accuracy for each in summary.contestants}
    automatic = next((each for each in summary.contestants if each.name == AUTOMATIC), None)
    if automatic is not None:
        # Other runs than the one that the figures so far are of.
        pinned = [value for name, value in spikes.items() if name.startswith(PINNED)]
        parts.append(
            f"in the comparison, runs of {automatic.seconds:g} s, choosing the tier reached "
            f"{spikes[AUTOMATIC]:.1f} % effective accuracy in the spike"
            + (f", the best single tier {max(pinned):.1f} %" if pinned else "")
            + (f", plain ONNX Runtime {spikes[FIFO]:.1f} %" if FIFO in spikes else "")
        )
    return "; ".join(parts) + "."
