"""The report's plots, as SVG text."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from treadle.demo.runs import Run
from treadle.demo.scoring import credit, of_targets, outcomes
from treadle.demo.summary import AUTOMATIC, MAIN, TIERED, Contestant
from treadle.demo.tenants import Tenant
from treadle.demo.traffic import spike
from treadle.load.records import latency

mpl.use("svg")
from matplotlib.figure import Figure

BINS = 60
TIER_COLOURS = ("#1f5fa8", "#56b4e9", "#e9a820")
LATE, SHED, NOTHING = "#c8374a", "#9a9a9a", "#4d4d4d"
CONTESTANT_COLOURS = ("#117a54", "#1f5fa8", "#56b4e9", "#e9a820", "#c8374a")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "treadle", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titleweight": "bold",
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False,
}  # fmt: skip
BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  # no legend hides what it names

Array = npt.NDArray[Any]


def load_and_tiers(tenants: Sequence[Tenant], run: Run) -> str:
    """Requests to the page readers over time: by tier that answered in time, late, shed; and their worth."""
    records = of_targets(run.records, _tiered(tenants))
    deadlines = [tenant.deadline for tenant in tenants]
    tiers = next(tenant.tiers for tenant in tenants if tenant.family == TIERED)
    ended = outcomes(records, deadlines)
    edges = np.linspace(0, run.seconds, BINS + 1)
    width = edges[1]
    centres = (edges[:-1] + edges[1:]) / 2

    def rate(mask: Array) -> Array:
        per_second: Array = np.histogram(records["intended"][mask], edges)[0] / width
        return per_second

    layers, labels, colours = [], [], []
    for tier, colour in zip(tiers, TIER_COLOURS, strict=False):
        position = run.tiers.index(tier.name) if tier.name in run.tiers else -2
        layers.append(rate(ended.good & (records["tier"] == position)))
        labels.append(f"{tier.name} ({_mean_accuracy(tenants, tier.name):.1f} %)")
        colours.append(colour)
    layers += [rate(ended.late | ended.failed | ended.unanswered), rate(ended.shed)]
    labels += ["late or failed", "shed"]
    colours += [LATE, SHED]
    earned = np.histogram(records["intended"], edges, weights=credit(records, deadlines))[0]
    sent = np.histogram(records["intended"], edges)[0]

    def draw(figure: Figure) -> None:
        load, worth = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        load.stackplot(centres, layers, labels=labels, colors=colours, step="mid", linewidth=0)
        load.step(centres, sent / width, where="mid", color="black", linewidth=1, label="sent")
        load.set(ylabel="pages a second", title="Load, and the tier that answered in time")
        load.legend(**BESIDE)
        worth.plot(centres, 100 * earned / np.maximum(sent, 1), color="black", linewidth=1.5, label="earned")
        for tier, colour in zip(tiers, TIER_COLOURS, strict=False):
            worth.axhline(_mean_accuracy(tenants, tier.name), color=colour, linestyle="--", linewidth=1)
        lowest = min(_mean_accuracy(tenants, tier.name) for tier in tiers)
        worth.set(ylabel="effective accuracy, %", xlabel="seconds", xlim=(0, run.seconds))
        worth.set_ylim(min(lowest - 10, 100 * float(np.min(earned / np.maximum(sent, 1)))), 101)
        for axes in (load, worth):
            axes.axvspan(*spike(run.seconds), color="black", alpha=0.05, linewidth=0)

    return _svg(draw, 9, 5.6)


def latency_distribution(tenants: Sequence[Tenant], runs: Sequence[Run]) -> str:
    """Share of all page requests that were answered within a multiple of their deadline."""
    tiered = _tiered(tenants)
    deadlines = np.array([tenant.deadline for tenant in tenants])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for run, colour in zip(runs, CONTESTANT_COLOURS, strict=False):
            records = of_targets(run.records, tiered)
            ended = outcomes(records, deadlines.tolist())
            answered = records[ended.good | ended.late]
            relative = np.sort(latency(answered) / deadlines[answered["target"]])
            share = np.arange(1, len(relative) + 1) / max(len(records), 1) * 100
            axes.step(relative, share, where="post", label=run.label, color=colour, linewidth=_emphasis(run.name))
        axes.axvline(1, color="black", linewidth=1)
        axes.annotate("deadline", (1, 1), xytext=(4, 4), textcoords="offset points", fontsize=9)
        axes.set(xscale="log", xlim=(0.02, 60), ylim=(0, 101), xlabel="latency ÷ deadline, from the time each was due")
        axes.set(ylabel="% of all requests sent", title="Answered within …")
        axes.legend(**BESIDE)

    return _svg(draw, 9, 4)


def accuracies(contestants: Sequence[Contestant]) -> str:
    """Effective accuracy of each contestant, in the spike and over its whole run."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(contestants))[::-1]
        for contestant, row, colour in zip(contestants, rows, CONTESTANT_COLOURS, strict=False):
            spiked, whole = contestant.tiered_in_spike.effective_accuracy, contestant.tiered.effective_accuracy
            axes.barh(row + 0.19, spiked, 0.36, color=colour)
            axes.barh(row - 0.19, whole, 0.36, color=colour, alpha=0.45)
            axes.text(spiked + 0.7, row + 0.19, f"{spiked:.1f} % in the spike", va="center", fontsize=9)
            axes.text(whole + 0.7, row - 0.19, f"{whole:.1f} % over the whole run", va="center", fontsize=9, alpha=0.7)
        axes.set_yticks(rows, [contestant.label for contestant in contestants])
        axes.set(xlim=(0, 140), xticks=range(0, 101, 20), xlabel="effective accuracy, % (late, shed, failed: 0)")
        axes.grid(visible=False, axis="y")
        axes.set_title("Pages read right and in time, same arrivals for all")

    return _svg(draw, 9, 0.8 + 0.75 * len(contestants))


def merging(run: Run) -> str:
    """Kernels of single requests against launches, a second, and their ratio."""
    seconds = np.array([0.0, *(sample.seconds for sample in run.samples)])
    problems = np.array([0, *(sample.counters.problems for sample in run.samples)])
    launches = np.array([0, *(sample.counters.launches for sample in run.samples)])
    steps = np.diff(seconds)
    centres = (seconds[:-1] + seconds[1:]) / 2

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        kernels, launched = np.diff(problems) / steps, np.diff(launches) / steps
        axes.fill_between(centres, kernels, step="mid", color="#56b4e9", linewidth=0, label="kernels needed")
        axes.fill_between(centres, launched, step="mid", color="#1f5fa8", linewidth=0, label="kernels launched")
        axes.set(xlim=(0, run.seconds), xlabel="seconds", ylabel="a second", title="Kernels needed, and launched")
        axes.set_ylim(0, None)
        axes.axvspan(*spike(run.seconds), color="black", alpha=0.05, linewidth=0)
        factor = axes.twinx()
        factor.plot(centres, kernels / np.maximum(launched, 1), color="black", linewidth=1.2, label="merge factor")
        factor.set(ylabel="kernels a launch", ylim=(0, None))
        factor.grid(visible=False)
        handles, labels = axes.get_legend_handles_labels()
        lines, names = factor.get_legend_handles_labels()
        axes.legend(handles + lines, labels + names, loc="center left", bbox_to_anchor=(1.08, 0.5))

    return _svg(draw, 9, 3.4)


def _tiered(tenants: Sequence[Tenant]) -> list[int]:
    return [index for index, tenant in enumerate(tenants) if tenant.family == TIERED]


def _mean_accuracy(tenants: Sequence[Tenant], tier: str) -> float:
    return float(np.mean([each.accuracy for tenant in tenants for each in tenant.tiers if each.name == tier]))


def _emphasis(name: str) -> float:
    return 2.2 if name in (MAIN, AUTOMATIC) else 1.3


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]  # the XML declaration has no place inside HTML
