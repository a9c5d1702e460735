"""Write docs/model-switching.md from a result of `treadle simulate model-switching --paper`.

python benchmarks/model_switching_page.py [RESULT.json [PAGE.md]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tables import table
from treadle.simulate.model_switching.report import ALGORITHM1, SINGLE, STICKY, Report, Row

HERE = Path(__file__).parent
RESULT = HERE / "results" / "model-switching.json"
PAGE = HERE.parent / "docs" / "model-switching.md"
FIGURES = HERE.parent / "docs" / "model-switching"

_HEAD = """\
# Model switching, simulated

Written by `python benchmarks/model_switching_page.py` from `benchmarks/results/model-switching.json`; do not edit.
`make switching` does all of it anew. What was measured with real models over HTTP: [switching.md](switching.md).

**Every figure here is simulated.** The queue, the choice of tier and the shedding are the executor's own objects; the
servers exist on a clock of events only. Command: `{command}`, {date}.

*Effective accuracy* is accuracy × the share of requests answered within the deadline (Zhang et al., HotCloud 2020,
Eq. 1): late and shed requests count 0. *Violations* are late and shed requests.

## What is simulated

- {servers} servers, one request each. Service times are log-normal around each tier's mean with a coefficient of
  variation of {spread:g}, the same for all policies of a seed. Tiers: {tiers}. Accuracies and saturations are published
  figures, the latter for 16 cores as four replicas of four threads.
- {arrivals} arrivals for {seconds:g} s, requests/s from second: {rates}. Means of {seeds} seeds.
- `single:TIER`: one tier, first come first served, nothing shed: what the paper compares with. `single+shed:TIER` drops
  what can no longer be in time, which alone is worth much.
- `algorithm1`: the paper's. A decision a second; the rate from the last {events} arrivals; P99 by load measured in a
  simulated queue up to {most:.0%} of saturation. What other choices of these two numbers do stands
  [below](#what-algorithm-1-leaves-open).
- `slack-buckets`: in the manner of SuperServe. `placement`: a mixed-integer program a window, in the manner of Proteus
  and InfAdapter, without a forecast: a step comes as a surprise to it. RAMSIS, whose policies are solved offline for a
  distribution of arrivals that has to be known, is not among them.
- `sticky-slack`: what treadle does by default, [ADR 9](adr/0009-switching.md).
- *Fluid bound*: the best mix of tiers for the true rate of each second, as if requests flowed: {bound:.2f} %.
"""
_FIGURES = """\
## The paper's figures, redrawn

![effective accuracy by load](model-switching/load-accuracy.svg)

![P99 by load and parallelism](model-switching/tails.svg)

How service time depends on ⟨R, T⟩ is assumed (Amdahl's law with {share:.0%} parallel, {contention:.0%} slower for each
other replica): published is only the one ⟨4, 4⟩. With it the search takes, at {deadline:g} ms:
{parallel}. The simulation itself has the {servers} servers that it was given.

![tiers over time](model-switching/timeline.svg)

![latencies](model-switching/latency.svg)

![effective accuracy by deadline](model-switching/deadlines.svg)
"""
_OPEN = """\
## What Algorithm 1 leaves open

The size of the event window, and up to which load the profile was measured, at {deadline:g} ms. `sticky-slack` is
{used:.2f}
points above the one that the targets compare it with, and {best:.2f} above the best of these.
"""
_NEIGHBOUR = """\
## A neighbour's burst

Two tenants under the executor's scheduler on one device that runs a request at a time. One of them sends ten times its
rate for 20 of 120 s, more than the device can answer at the fastest tier.
"""
_COLUMNS = (
    "policy", "effective accuracy %", "of answered %", "violations %", "switches a request", "first down, s", "p99, ms",
)  # fmt: skip


def render(report: Report) -> str:
    """The page."""
    return "\n".join(_sections(report))


def _sections(report: Report) -> Iterator[str]:
    from treadle.simulate.model_switching.engine import SERVICE_SPREAD
    from treadle.simulate.model_switching.tails import CONTENTION, PARALLEL_SHARE, UTILISATIONS
    from treadle_agent.policy.arrivals import EVENTS

    base = report.rows[0].deadline_ms
    yield _HEAD.format(
        command=report.command, date=report.date[:10], servers=report.servers, spread=SERVICE_SPREAD,
        tiers=", ".join(f"{tier.name} {tier.accuracy:g} % {tier.saturation:g}/s" for tier in report.tiers),
        arrivals=report.arrivals.capitalize(), seconds=report.seconds, rates=report.rates, seeds=report.seeds,
        events=EVENTS, most=max(UTILISATIONS), bound=report.fluid_bound,
    )  # fmt: skip
    yield "## Targets\n"
    yield table(
        ("target", "", "found", "reached"),
        (
            (one.what, f"{one.relation} {one.target:g}", _number(one.measured, 4), _verdict(one.reached))
            for one in report.checks
        ),
    )
    for title, rows in _scenarios(report):
        yield f"## {title}\n"
        yield table(_COLUMNS, (_cells(row) for row in rows))
    yield "## By deadline\n\nEffective accuracy, % (violations, %).\n"
    yield _by_deadline(report)
    yield _OPEN.format(deadline=base, **_gaps(report.rows, base))
    yield table(
        _COLUMNS, (_cells(row) for row in report.rows if row.policy.startswith(ALGORITHM1) and _is_base(row, base))
    )
    yield _NEIGHBOUR
    yield table(
        ("deadline, ms", "burst", "quiet: violations %", "accuracy %", "loud: violations %", "accuracy %"),
        (
            (
                f"{one.deadline_ms:g}", f"{one.burst:g}×",
                _percent(one.violation_ratio), f"{one.effective_accuracy:.2f}",
                _percent(one.loud_violation_ratio), f"{one.loud_effective_accuracy:.2f}",
            )
            for one in report.neighbours
        ),
    )  # fmt: skip
    yield _FIGURES.format(
        share=PARALLEL_SHARE, contention=CONTENTION, deadline=base, servers=report.servers,
        parallel=", ".join(
            f"{one.tier} ⟨{one.replicas}, {one.threads}⟩ up to {one.requests_per_second:g}/s" for one in report.parallel
        ),
    )  # fmt: skip


def _scenarios(report: Report) -> Iterator[tuple[str, list[Row]]]:
    keys = dict.fromkeys((row.deadline_ms, row.profile_error, row.switch_cost_ms) for row in report.rows)
    base = report.rows[0].deadline_ms
    keys = [key for key in keys if key == (base, 1.0, 0.0) or key[1:] != (1.0, 0.0)]
    for deadline, error, cost in keys:
        parts = [f"Deadline {deadline:g} ms"]
        parts += [f"service {error:g}× its profile"] if error != 1.0 else []
        parts += [f"{cost:g} ms to switch a server"] if cost else []
        rows = [
            row
            for row in report.rows
            if (row.deadline_ms, row.profile_error, row.switch_cost_ms) == (deadline, error, cost)
        ]
        yield ", ".join(parts), [row for row in rows if not row.policy.startswith(f"{ALGORITHM1}:")]


def _gaps(rows: Sequence[Row], deadline: float) -> dict[str, float]:
    """Points of the default policy above Algorithm 1 as it is compared with, and above its best variant."""
    earned = {row.policy: row.effective_accuracy for row in rows if _is_base(row, deadline)}
    best = max(accuracy for policy, accuracy in earned.items() if policy.startswith(ALGORITHM1))
    return {"used": earned[STICKY] - earned[ALGORITHM1], "best": earned[STICKY] - best}


def _by_deadline(report: Report) -> str:
    """Effective accuracy and violations of every policy, a deadline a column."""
    plain = [row for row in report.rows if (row.profile_error, row.switch_cost_ms) == (1.0, 0.0)]
    deadlines = sorted({row.deadline_ms for row in plain})
    found = {(row.policy, row.deadline_ms): row for row in plain}
    policies = [
        policy for policy in dict.fromkeys(row.policy for row in plain) if ":" not in policy.removeprefix(SINGLE)
    ]
    return table(
        ("policy", *(f"{deadline:g} ms" for deadline in deadlines)),
        ((policy, *(_both(found[policy, deadline]) for deadline in deadlines)) for policy in policies),
    )


def _both(row: Row) -> str:
    return f"{row.effective_accuracy:.2f} ({_percent(row.violation_ratio)})"


def _is_base(row: Row, deadline: float) -> bool:
    return (row.deadline_ms, row.profile_error, row.switch_cost_ms) == (deadline, 1.0, 0.0)


def _cells(row: Row) -> Sequence[str]:
    return (
        row.policy, f"{row.effective_accuracy:.2f}", _number(row.accuracy_of_answered, 2),
        _percent(row.violation_ratio), f"{row.switches_per_request:.4f}",
        _number(row.first_degradation_s, 2), _number(row.p99_ms, 0),
    )  # fmt: skip


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _verdict(reached: bool | None) -> str:  # noqa: FBT001
    return "not simulated" if reached is None else "yes" if reached else "**no**"


def main(arguments: Sequence[str]) -> None:
    """Read a result, write the page."""
    result, page = (*map(Path, arguments), *(RESULT, PAGE)[len(arguments) :])
    page.write_text(render(msgspec.json.decode(result.read_bytes(), type=Report)))


if __name__ == "__main__":
    main(sys.argv[1:])
