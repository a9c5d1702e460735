"""Shapes and clusters as SVG text."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl

from treadle.profile.report import Profile

mpl.use("svg")
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "treadle", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.grid": True,
    "grid.alpha": 0.25,
}  # fmt: skip
_AREA = 30.0  # points² of one occurrence


def draw(profile: Profile) -> str:
    """Products by rows times columns, and depth; those of one cluster in one colour, a cross where its shape is."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        colours = mpl.colormaps["tab20"]
        for index, cluster in enumerate(profile.clusters):
            colour = colours(index % 20)
            outputs = [m * n for m, n, _, _ in cluster.products]
            depths = [k for _, _, k, _ in cluster.products]
            areas = [_AREA * count for _, _, _, count in cluster.products]
            axes.scatter(outputs, depths, s=areas, color=colour, alpha=0.6, linewidths=0)
            axes.scatter([cluster.m * cluster.n], [cluster.k], marker="x", color=colour)
        axes.set(xscale="log", yscale="log", xlabel="elements of the result (m · n)", ylabel="depth (k)")
        axes.set_title(f"{len(profile.clusters)} clusters of at most {profile.padding_limit:.0%} padding")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()
