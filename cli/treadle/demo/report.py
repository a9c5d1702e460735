"""The report: one HTML file without external parts."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from treadle.demo import plots
from treadle.demo.runs import Run
from treadle.demo.scoring import Score
from treadle.demo.summary import MAIN, Summary, sentence
from treadle.demo.tenants import Tenant

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d1d1f; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; } .summary { font-size: 1.1rem; }
.verdict { padding: .6rem 1rem; border-radius: .4rem; background: #e4f3ec; } .verdict.failed { background: #f9e1e3; }
.verdict.missing { background: #fbf1d6; }
svg { width: 100%; height: auto; } .scroll { overflow-x: auto; } p.note { color: #5b5b60; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #e3e3e6; }
th:first-child, td:first-child { text-align: left; } td.bad { color: #b3202f; font-weight: 600; }
code { background: #f3f3f5; padding: .1em .3em; border-radius: .2em; }
"""

TIERS_TEXT = (
    "<p>Eight tenants read pages of handwritten digits; each has three models. A request is answered by the most "
    "accurate one that meets the deadline behind what already waits. The spike (shaded) is more than the large and the "
    "medium one can carry. Dashed lines are the models' held-out accuracies; what was earned is counted from the "
    "answers.</p>"
)
MERGING_TEXT = (
    "<p>Requests of all tenants became streams of kernels; kernels of one signature were launched together, each with "
    "its own tenant's weights. A model that is bound by arithmetic runs as few large kernels, which gain nothing from "
    "merging.</p>"
)
RIVALS_TEXT = (
    "<p>The same arrivals, sent again one run after another: to treadle choosing the tier, to treadle with one tier "
    "pinned, and to an aiohttp server with an ONNX Runtime session a tenant that answers first come, first served with "
    "the most accurate model. Each has one compute thread.</p>"
)


def render(tenants: Sequence[Tenant], runs: Sequence[Run], summary: Summary, timeline: str, machine: str) -> str:
    """The report as HTML; `timeline` is the Chrome trace's path as a link target, or "" without one."""
    main = next((run for run in runs if run.name == MAIN), None)
    rivals = [run for run in runs if run.name != MAIN]
    parts = [
        "<h1>treadle demo</h1>",
        f"<p class=note>{html.escape(machine)}</p>",
        f"<p class=summary>{html.escape(sentence(summary))}</p>",
        _verdict(summary),
    ]
    if main is not None and len(main.records):
        parts += ["<h2>Tiers follow the load</h2>", TIERS_TEXT, plots.load_and_tiers(tenants, main)]
        if main.samples:
            parts += ["<h2>Kernels of different tenants share launches</h2>", MERGING_TEXT, plots.merging(main)]
    if rivals:
        contestants = [contestant for contestant in summary.contestants if contestant.name != MAIN]
        parts += ["<h2>Against each single tier, and against plain ONNX Runtime</h2>", RIVALS_TEXT]
        parts += [plots.accuracies(contestants), plots.latency_distribution(tenants, rivals)]
    parts += [_contestants(summary), _tenants(tenants, summary)]
    if timeline:
        parts.append(
            f'<h2>Timeline</h2><p>Every launch in the runs on treadle is in <a href="{html.escape(timeline)}">'
            f"<code>{html.escape(timeline)}</code></a>: open it at ui.perfetto.dev or chrome://tracing.</p>"
        )
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>treadle demo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def _verdict(summary: Summary) -> str:
    missing = "".join(f'<p class="verdict missing">{html.escape(each)}</p>' for each in summary.missing)
    if not summary.failures:
        return f"<p class=verdict>Everything that was checked held.</p>{missing}"
    items = "".join(f"<li>{html.escape(failure)}</li>" for failure in summary.failures)
    return f'<div class="verdict failed">Not everything held:<ul>{items}</ul></div>{missing}'


def _contestants(summary: Summary) -> str:
    head = (
        "run",
        "sent",
        "good",
        "late",
        "shed",
        "failed",
        "pages’ effective accuracy",
        "in the spike",
        "merge factor",
    )
    rows = []
    for each in summary.contestants:
        total = each.everything
        rows.append(
            [
                f"{each.label} ({each.seconds:.0f} s)",
                *_counts(total),
                _percent(each.tiered.effective_accuracy),
                _percent(each.tiered_in_spike.effective_accuracy),
                "–" if each.merge_factor is None or math.isnan(each.merge_factor) else f"{each.merge_factor:.1f}",
            ]
        )
    return f"<h2>All runs</h2>{_table(head, rows)}"


def _tenants(tenants: Sequence[Tenant], summary: Summary) -> str:
    head = ("tenant", "deadline", "p50", "p99", "sent", "good", "late", "shed", "failed", "effective accuracy")
    rows = [
        [
            tenant.name,
            f"{tenant.deadline * 1000:.0f} ms",
            _milliseconds(summary.tenants[tenant.name].p50),
            _milliseconds(summary.tenants[tenant.name].p99),
            *_counts(summary.tenants[tenant.name]),
            _percent(summary.tenants[tenant.name].effective_accuracy),
        ]
        for tenant in tenants
        if tenant.name in summary.tenants
    ]
    return f"<h2>All tenants of the main run</h2>{_table(head, rows)}" if rows else ""


def _counts(total: Score) -> list[str]:
    return [f"{count:,}" for count in (total.sent, total.good, total.late, total.shed, total.failed + total.unanswered)]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f} %"


def _milliseconds(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.1f} ms"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

    body = "".join(cells("td", row) for row in rows)
    return f"<div class=scroll><table><thead>{cells('th', head)}</thead><tbody>{body}</tbody></table></div>"
