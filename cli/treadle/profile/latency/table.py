"""The report as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from treadle.profile.latency.report import Report
from treadle_api.tenant import in_words


def show(report: Report, console: Console) -> None:
    """Print both curves of every tier."""
    said = "simulated" if report.simulated else "measured"
    batches = Table(title=f"{report.tenant} on {report.device_model} ({said}): alone, ms", title_justify="left")
    for column in ("tier", "implementation", "rows", "p50", "p99", "runs"):
        batches.add_column(column, justify="left" if column in ("tier", "implementation") else "right")
    loads = Table(title="Under open-loop load, ms from when a request was due", title_justify="left")
    for column in ("tier", "saturation/s", "requests/s", "p50", "p99", "requests"):
        loads.add_column(column, justify="left" if column == "tier" else "right")
    for tier in report.tiers:
        how = f"{tier.implementation}{in_words(tier.precision)}"
        for batch in tier.batches:
            p50, p99 = (f"{1e3 * seconds:.3f}" for seconds in (batch.p50, batch.p99))
            batches.add_row(tier.tier, how, str(batch.rows), p50, p99, str(batch.repeats))
        for load in tier.loads:
            p50, p99 = (f"{1e3 * seconds:.3f}" for seconds in (load.p50, load.p99))
            rate, saturation = f"{load.requests_per_second:,.4g}", f"{tier.saturation_rps:,.4g}"
            loads.add_row(tier.tier, saturation, rate, p50, p99, str(load.requests))
        for requests_per_second in tier.unborne:
            saturation = f"{tier.saturation_rps:,.4g}"
            loads.add_row(tier.tier, saturation, f"{requests_per_second:,.4g}", "not borne", "", "")
    console.print(batches)
    console.print(loads)
