"""The figures as SVG text, the same for the same report."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl

from treadle.simulate.multiplexing.report import Report

mpl.use("svg")
from matplotlib.figure import Figure

COLOURS = {"time": "#c8374a", "space": "#e9a820", "merged": "#117a54"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "treadle", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.grid": True,
    "grid.alpha": 0.25, "legend.frameon": False,
}  # fmt: skip


def slowdowns(report: Report) -> str:
    """Slowdown over the number of tenants, a panel a network."""
    networks = list(dict.fromkeys(one.network for one in report.slowdowns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
        for panel, network in zip(axes, networks, strict=True):
            found = [one for one in report.slowdowns if one.network == network]
            for way, colour in COLOURS.items():
                panel.plot(
                    [one.tenants for one in found], [getattr(one, way) for one in found], color=colour, label=way
                )
            panel.set(title=f"{network} on {report.device}", xlabel="tenants")
            panel.axhline(1, color="#4d4d4d", lw=0.8)
        axes[0].set(ylabel="seconds over those of a batch", ylim=(0, None))
        axes[0].legend()
        return _svg(figure)


def spreads(report: Report) -> str:
    """How unequal tenants fare, each way."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        names = [one.way for one in report.spreads]
        values = [100 * one.request for one in report.spreads]
        bars = axes.bar(names, values, color=[COLOURS[name] for name in names])
        axes.bar_label(bars, fmt="%.0f %%")
        tenants = report.spreads[0].tenants
        axes.set(title=f"{tenants} equal tenants on {report.device}", ylabel="slowest over fastest, less one, %")
        return _svg(figure)


def memory(report: Report) -> str:
    """Bytes over the number of models, as processes and in one."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.subplots()
        for one in report.memory:
            process = one.device_bytes / one.processes
            shared = one.device_bytes - one.one_process * one.weight_bytes
            counts = [1, one.one_process]
            limit = [1, one.processes]
            axes.plot(limit, [n * process / 1e9 for n in limit], color=COLOURS["time"], label="a process each")
            line = [(shared + n * one.weight_bytes) / 1e9 for n in counts]
            axes.plot(counts, line, color=COLOURS["merged"], label="one process")
            axes.axhline(one.device_bytes / 1e9, color="#4d4d4d", lw=0.8)
            axes.set(title=f"{one.network} on {report.device}", xlabel="models", ylabel="GB of device memory")
        axes.legend()
        return _svg(figure)


ALL = {"slowdown.svg": slowdowns, "spread.svg": spreads, "memory.svg": memory}


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
