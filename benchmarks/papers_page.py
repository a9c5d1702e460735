"""Write docs/papers.md from the committed results.

python benchmarks/papers_page.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from papers_figures import Results, delays, gains, read
from tables import table
from treadle.bench.kernels.report import Report as Kernels
from treadle.bench.kernels.report import Row
from treadle.simulate.goodput.study import OURS, WAYS

PAGE = Path(__file__).parents[1] / "docs" / "papers.md"
_HEAD = """\
# The papers, reproduced

Written by `python benchmarks/papers_page.py` from `benchmarks/results/`; do not edit. `make papers` does all of it anew
but the two measured parts.

**No GPU code has run.** Where this page says *simulated*, seconds come from an analytic model of a GPU whose structure
and constants were committed before it was first compared, [ADR 10](adr/0010-simulated-gpu.md), with what was changed
after that, and why. Such figures speak about ways of sharing a device, not about a GPU's kernels.
"""
_TABLE1 = """\
## Super-kernels: Jain et al. 2018, Table 1

The speed of one launch with R tenants' products over the next best of taking turns (*time*) and of streams (*space*).
The geometric mean is over R = 2 to 120, all of them. The paper's figures for the mean are 3.23 and, over time, 7.7 by
its abstract and by that of 2019; 2.48 and 4.93 are quoted from memory, and its single rows are not quoted: its text was
not at hand. Single rows, and the jump of the square problem from R = 10 to R = 20, lie outside such a model: they are
not fitted. What is fitted, and so proves nothing, is in the ADR: two constants by hand before the first comparison, one
after it, for conv2_2 by space.
"""
_HOST = """\
### The same, measured on a processor

`{command}`, {processor}, {cores} cores, {date}; R = {r}. The paper's column is for a V100. NumPy's
products gain from merging where a call costs more than its arithmetic, and these are too large for that: small models'
gains stand in [performance.md](performance.md).
"""
_MULTIPLEXING = """\
## Whole networks: 2018, Fig. 3 to 5; 2019, Table 1

`{command}`. Simulated on {device}. {note}

![slowdown over the number of tenants](papers/slowdown.svg)

![how unequal equal tenants fare](papers/spread.svg)

![device memory over the number of models](papers/memory.svg)
"""
_MEMORY = """\
## Memory, measured: 2018, Fig. 5

`{command}`, {processor}, {cores} cores, {date}. {models} distinct models ({model}; {weights:.0f} MB of weights each),
every one loaded and answering, in one executor on the host device, beside as many ONNX Runtime sessions in one process.
Answers agree to {deviation:.0e} of the largest.

A session from bytes keeps them beside its own copy; that is the yardstick of
[ADR 4](adr/0004-segments-are-saved-optimised-and-mapped.md). A session from a file holds little more than its weights,
and so does treadle. Treadle's weights are mapped files: only the anonymous part cannot be dropped and read again.
"""
_GOODPUT = """\
## Whole models under load

`{command}`. Simulated on {device}: the real policies on a virtual clock, {requests} requests a run, the largest load
of which 99 % is answered in time. {note} *Undelayed* is space-time that never holds a launch back for company. The last
columns: tenants in a space-time launch, and its load over the best of the ways that do not merge.
"""
_DELAYS = """\
To hold launches back for company carries more than not to in {more} of {rows} rows, up to {most:.2f} times as much, and
less in {less}: {losses}.
"""


def render(results: Results) -> str:
    """The page."""
    return "\n".join(_sections(results))


def _sections(results: Results) -> Iterator[str]:
    yield _HEAD
    yield _TABLE1 + f"\n`{results.kernels.command}`. Simulated.\n"
    yield _rows(results.kernels)
    columns = ("target", "figure", "reached")
    checks = results.kernels.checks
    yield table(columns, ((one.what, f"{one.measured:.2f}", "yes" if one.reached else "**no**") for one in checks))
    yield "With one rule of the model changed at a time:\n"
    ablations = results.kernels.ablations
    yield table(("rule", *_COLUMNS), ((ablation.rule, *_cells(row)) for ablation in ablations for row in ablation.rows))
    host = results.host
    yield _HOST.format(
        command=host.command, processor=host.machine.processor, cores=host.machine.cores, date=host.date[:10],
        r=", ".join(map(str, host.r)),
    )  # fmt: skip
    yield _rows(host)
    multiplexing = results.multiplexing
    yield _MULTIPLEXING.format(
        command=multiplexing.command, device=multiplexing.device, note=multiplexing.note.partition("run. ")[2]
    )
    yield table(
        ("figure", "simulated", "paper", "source"),
        ((one.what, f"{one.simulated:.3g}", f"{one.paper:.3g}", one.source) for one in multiplexing.compared),
    )
    yield from _memory(results)
    yield from _goodput(results)


_COLUMNS = ("problem", "R", "ratio", "paper", "next best", "over time")


def _rows(report: Kernels) -> str:
    return table(_COLUMNS, map(_cells, report.rows))


def _cells(row: Row) -> Sequence[str]:
    paper = "–" if row.paper is None else f"{row.paper:.2f}"
    return row.problem, row.r, f"{row.ratio:.2f}", paper, row.next_best, f"{row.over_time:.2f}"


def _memory(results: Results) -> Iterator[str]:
    memory = results.memory
    yield _MEMORY.format(
        command=memory.command, processor=memory.machine.processor, cores=memory.machine.cores,
        date=memory.date[:10], models=memory.models, model=memory.model, weights=memory.weights_mb,
        deviation=memory.deviation,
    )  # fmt: skip
    yield table(
        ("held by", "MB empty", f"MB with {memory.models}", "of them anonymous", "treadle's over it"),
        (
            (one.server, f"{one.empty_mb:,.0f}", f"{one.full_mb:,.0f}", f"{one.anonymous_mb:,.0f}", f"{one.ratio:.2f}")
            for one in memory.held
        ),
    )


def _goodput(results: Results) -> Iterator[str]:
    report = results.goodput
    yield _GOODPUT.format(
        command=report.command, device=report.device, requests=f"{report.requests:,}",
        note=report.note.partition("run. ")[2],
    )  # fmt: skip
    found = {(row.models, row.tenants, row.way): row for row in report.rows}
    yield table(
        ("models", "tenants", *WAYS, "merged", "gain"),
        (
            (
                models,
                str(tenants),
                *(f"{found[models, tenants, way].goodput_rps:,.0f}" for way in WAYS),
                f"{found[models, tenants, OURS].merged:.1f}",
                f"{gain:.2f}",
            )
            for models, tenants, gain in gains(report)
        ),
    )
    yield _delays(list(delays(report)))
    yield table(
        ("network", "ms alone", "deadline, ms"),
        ((one.network, f"{one.service * 1e3:.2f}", f"{one.deadline * 1e3:.1f}") for one in report.deadlines),
    )


def _delays(found: Sequence[tuple[str, int, float]]) -> str:
    losses = [f"{gain:.2f} times as much for {tenants} of {models}" for models, tenants, gain in found if gain < 1]
    more, most = sum(gain > 1 for *_, gain in found), max(gain for *_, gain in found)
    return _DELAYS.format(more=more, rows=len(found), most=most, less=len(losses), losses=", ".join(losses) or "none")


if __name__ == "__main__":
    PAGE.write_text(render(read()))
