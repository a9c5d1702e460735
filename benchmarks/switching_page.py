"""Write docs/switching.md from a result of `treadle bench switching`, so that no figure is typed by hand.

python benchmarks/switching_page.py [RESULT.json [PAGE.md]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tables import table
from treadle.bench.switching.checks import clocks_differ
from treadle.bench.switching.report import SWITCHING, Report, Row

HERE = Path(__file__).parent
RESULT = HERE / "results" / "switching.json"
PAGE = HERE.parent / "docs" / "switching.md"

_HEAD = """\
# Model switching, measured

Written by `python benchmarks/switching_page.py` from `benchmarks/results/switching.json`; do not edit.
`make switching-live` does all of it anew. What the same policy does on a simulated clock, beside the paper's and
others: [model-switching.md](model-switching.md).

Real models over real HTTP: `treadle serve` with the demo's page readers, trained for the run, once with all tiers and
automatic switching and once pinned to each tier. Requests arrive by an open loop in the shape of the paper's load
(Zhang et al., HotCloud 2020), scaled so that the best tier saturates here where it did there. Compare contestants of
one deadline, not absolute figures.

- Command: `{command}`, {date}{quick}
- Machine: {processor}, {cores} cores, {memory:g} GB, {system}; client and server share it
- treadle's device is `host`: no GPU code ran
- Versions: {versions}
- Tiers (answers a second alone, in a closed loop): {tiers}
- Poisson arrivals for {seconds:g} s, requests/s from second: {rates}. Each figure is the median of {rounds} run(s)

*Effective accuracy* is counted from the labels in the answers: the share of digits read rightly in time, by the
client's clock from when a request was due. Late, shed and failed requests count 0; *violations* are those.
"""
_ALL = """\
## All figures

*By the tiers' accuracy* counts each answer in time by the accuracy of its tier, as the server's metric
`treadle_accuracy_credit_total` does, which *scraped* is read from. The client's clock starts when a request is due, the
server's when it has arrived, so that answers at the edge of the deadline are late by one only: many, where a tier is
pinned beyond its saturation. There the two differ by up to {points:.2f} points.
"""
_DECISION = """\
## What a decision costs

Taking a request in, choosing among {tiers} tiers and taking it out of a queue of {waiting}: {p50:g} µs at the median,
{p99:g} µs at the 99th percentile.
"""
_COLUMNS = (
    "contestant", "deadline, ms", "effective accuracy %", "by the tiers' accuracy %", "scraped %", "violations %",
    "shed %", "p99, ms", "switches a request", "tiers that answered in time",
)  # fmt: skip


def render(report: Report) -> str:
    """The page."""
    return "\n".join(_sections(report))


def _sections(report: Report) -> Iterator[str]:
    machine = report.machine
    yield _HEAD.format(
        command=report.command, date=report.date[:10], quick=" (a quick run)" if report.quick else "",
        processor=machine.processor, cores=machine.cores, memory=machine.memory_gb, system=machine.system,
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
        tiers=", ".join(f"{one.name} {one.accuracy:.2f} % {one.saturation_rps:,.0f}/s" for one in report.tiers),
        seconds=report.seconds, rates=", ".join(f"{begin:g}: {rate:.0f}" for begin, rate in report.rates),
        rounds=report.rounds,
    )  # fmt: skip
    yield "## Targets\n"
    yield table(
        ("target", "", "measured", "reached"),
        (
            (one.what, f"{one.relation} {one.target:g}", f"{one.measured:.4g}", "yes" if one.reached else "**no**")
            for one in report.checks
        ),
    )
    pinned = [row for row in report.rows if row.contestant != SWITCHING]
    yield "## By deadline\n\nEffective accuracy, % (violations, %).\n"
    yield _by_deadline(report.rows)
    yield _ALL.format(points=clocks_differ(pinned))
    yield table(_COLUMNS, map(_cells, report.rows))
    cost = report.decisions
    yield _DECISION.format(tiers=cost.tiers, waiting=cost.waiting, p50=cost.p50_us, p99=cost.p99_us)


def _by_deadline(rows: Sequence[Row]) -> str:
    found = {(row.contestant, row.deadline_ms): row for row in rows}
    deadlines = sorted({row.deadline_ms for row in rows})
    names = dict.fromkeys((SWITCHING, *(row.contestant for row in rows)))
    return table(
        ("contestant", *(f"{deadline:g} ms" for deadline in deadlines), "mean"),
        ((name, *_accuracies([found[name, deadline] for deadline in deadlines])) for name in names),
    )


def _accuracies(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row.effective_accuracy:.2f} ({100 * row.violation_ratio:.2f})"
    yield f"{sum(row.effective_accuracy for row in rows) / len(rows):.2f}"


def _cells(row: Row) -> Sequence[str]:
    return (
        row.contestant, f"{row.deadline_ms:g}", f"{row.effective_accuracy:.2f}", f"{row.declared_accuracy:.2f}",
        f"{row.scraped_accuracy:.2f}", f"{100 * row.violation_ratio:.2f}", f"{100 * row.shed_ratio:.2f}",
        "–" if row.p99_ms is None else f"{row.p99_ms:.0f}", f"{row.switches_per_request:.4f}",
        ", ".join(f"{name} {100 * share:.0f} %" for name, share in row.share_by_tier.items() if share),
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Read a result, write the page."""
    result, page = (*map(Path, arguments), *(RESULT, PAGE)[len(arguments) :])
    page.write_text(render(msgspec.json.decode(result.read_bytes(), type=Report)))


if __name__ == "__main__":
    main(sys.argv[1:])
