"""The paper's figures redrawn from a report, as SVG files."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np

from treadle.demo.plots import BESIDE, LATE, STYLE
from treadle.simulate.model_switching.report import (
    ALGORITHM1,
    PLACEMENT,
    SINGLE,
    SLACK_BUCKETS,
    STICKY,
    Figures,
    Report,
)

mpl.use("svg")
from matplotlib.figure import Figure

_TIERS = ("#1f5fa8", "#56b4e9", "#117a54", "#e9a820", "#8c564b")
_POLICIES = {STICKY: "#117a54", ALGORITHM1: "#1f5fa8"}
_OTHERS = ("#56b4e9", "#e9a820", "#c8374a", "#9a9a9a", "#8c564b", "#4d4d4d", "#b07aa1")
_BIN = 2  # seconds that are drawn as one
_CLOSE = 5.0  # points below the best that the second panel shows


def draw_all(report: Report, folder: Path, source: str) -> list[Path]:
    """Write all figures that `report` has data for; `source` is noted in each file."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = {"deadlines": _deadlines(report)}
    if report.figures is not None:
        drawings |= {
            "load-accuracy": _load_accuracy(report.figures),
            "tails": _tails(report.figures, report.tiers[0].name),
            "timeline": _timeline(report.figures),
            "latency": _latency(report.figures, report.rows[0].deadline_ms),
        }
    paths = []
    for name, (draw, width, height) in drawings.items():
        path = folder / f"{name}.svg"
        path.write_text(_svg(draw, width, height, source))
        paths.append(path)
    return paths


_Drawing = tuple[Callable[[Figure], None], float, float]


def _load_accuracy(figures: Figures) -> _Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for curve, colour in zip(figures.load_accuracy, _TIERS, strict=False):
            axes.plot(curve.x, curve.y, label=curve.label.removeprefix(SINGLE), color=colour)
        axes.set(xlabel="requests a second", ylabel="effective accuracy, %", ylim=(0, 82))
        axes.set_title("Each tier alone under a steady load (after Fig. 2; simulated)")
        axes.legend(**BESIDE)

    return draw, 8, 3.6


def _tails(figures: Figures, tier: str) -> _Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for curve, colour in zip(figures.tails, _TIERS, strict=False):
            axes.plot(curve.x, curve.y, marker=".", label=curve.label, color=colour)
        axes.set(xlabel="requests a second", ylabel="P99 latency, s", yscale="log")
        axes.set_title(f"{tier}: P99 by load and ⟨replicas, threads⟩ (after Fig. 3; simulated)")
        axes.legend(**BESIDE)

    return draw, 8, 3.6


def _timeline(figures: Figures) -> _Drawing:
    def draw(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(len(figures.timeline), 1, sharex=True))
        for axes, (name, layers) in zip(panels, figures.timeline.items(), strict=True):
            usable = len(figures.offered.y) // _BIN * _BIN
            begins = np.arange(0, usable, _BIN)
            heights = [np.asarray(layer.y[:usable]).reshape(-1, _BIN).mean(axis=1) for layer in layers]
            colours = (*_TIERS[: len(layers) - 1], LATE)
            labels = [layer.label for layer in layers]
            axes.stackplot(begins, heights, labels=labels, colors=colours, step="post", linewidth=0)
            axes.set(ylabel="requests a second", xlim=(0, usable))
            axes.set_title(f"{name}: the tier that answered in time (after Fig. 4a; simulated)")
        panels[0].legend(**BESIDE)
        panels[-1].set_xlabel("seconds")

    return draw, 9, 5.6


def _latency(figures: Figures, deadline: float) -> _Drawing:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        others = cycle(_OTHERS)
        for curve in figures.latency:
            colour = _POLICIES.get(curve.label) or next(others)
            axes.plot(curve.x, curve.y, label=curve.label, color=colour, linewidth=_width(curve.label))
        axes.axvline(deadline, color="black", linewidth=1)
        axes.set(xscale="log", xlabel="latency, ms; the line is the deadline", ylabel="% of requests", ylim=(0, 101))
        axes.set_title("Answered within … (after Fig. 4b; simulated)")
        axes.legend(**BESIDE)

    return draw, 8, 3.6


def _deadlines(report: Report) -> _Drawing:
    base = [row for row in report.rows if row.profile_error == 1.0 and row.switch_cost_ms == 0.0]
    drawn = (*_POLICIES, SLACK_BUCKETS, PLACEMENT, *(f"{SINGLE}{tier.name}" for tier in report.tiers))
    names = [name for name in drawn if any(row.policy == name for row in base)]

    def draw(figure: Figure) -> None:
        whole, top = figure.subplots(2, 1, sharex=True)
        for axes in (whole, top):
            others = cycle(_OTHERS)
            for name in names:
                points = sorted((row.deadline_ms, row.effective_accuracy) for row in base if row.policy == name)
                colour = _POLICIES.get(name) or next(others)
                deadlines, accuracies = zip(*points, strict=True)
                axes.plot(deadlines, accuracies, marker=".", label=name, color=colour, linewidth=_width(name))
            axes.axhline(report.fluid_bound, color="black", linestyle="--", linewidth=1, label="fluid bound")
            axes.set_ylabel("effective accuracy, %")
        whole.set_title("By deadline, and the upper part once more (after Fig. 4c; simulated)")
        whole.legend(**BESIDE)
        best = max(row.effective_accuracy for row in base)
        top.set(xlabel="deadline, ms", ylim=(best - _CLOSE, best + 0.1 * _CLOSE))

    return draw, 8, 6


def _width(name: str) -> float:
    return 2.2 if name in _POLICIES else 1.2


def _svg(draw: Callable[[Figure], None], width: float, height: float, source: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Source": source})
    return text.getvalue()
