"""Latency by batch and by load, a line a tier, as SVG text."""

from __future__ import annotations

import io

import matplotlib as mpl

from treadle.profile.latency.report import Report
from treadle.profile.plot import STYLE

mpl.use("svg")
from matplotlib.figure import Figure


def draw(report: Report) -> str:
    """P50 solid, P99 dashed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        batch, load = figure.subplots(1, 2)
        colours = mpl.colormaps["tab10"]
        for index, tier in enumerate(report.tiers):
            colour = colours(index % 10)
            rows, rates = [one.rows for one in tier.batches], [one.requests_per_second for one in tier.loads]
            batch.plot(rows, [1e3 * one.p50 for one in tier.batches], marker=".", color=colour, label=tier.tier)
            batch.plot(rows, [1e3 * one.p99 for one in tier.batches], linestyle="--", color=colour)
            load.plot(rates, [1e3 * one.p50 for one in tier.loads], marker=".", color=colour, label=tier.tier)
            load.plot(rates, [1e3 * one.p99 for one in tier.loads], linestyle="--", color=colour)
        batch.set(xscale="log", yscale="log", xlabel="rows of a request", ylabel="ms alone on the device")
        batch.set_title("By batch: P50, P99 dashed")
        load.set(xscale="log", yscale="log", xlabel="requests a second", ylabel="ms from when it was due")
        load.set_title("By load")
        batch.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()
