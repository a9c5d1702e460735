"""A profile as tables on a terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from treadle.narrow import fitting
from treadle.profile.report import Profile

# How soon each column is left out in a narrow terminal, as `fitting` has it.
KERNEL_COLUMNS = {
    "model": 0, "kernel": 0, "count": 3, "as": 1, "greedy tile": 5, "collaborative": 4, "problems": 2, "µs alone": 0,
    "µs each, merged": 0,
}  # fmt: skip
_NUMBERS = frozenset({"count", "problems", "µs alone", "µs each, merged"})
_SIGNATURE = 24  # characters of a kernel's signature, at least; where there is no room for more it goes on below
_NOTE = "Times are simulated by the model of docs/adr/0010-simulated-gpu.md; no GPU code has run."


def show(profile: Profile, console: Console) -> None:
    """Print what was asked for."""
    if profile.clusters:
        console.print(_clusters(profile))
    if profile.kernels:
        console.print(_kernels(profile, console.width))
        if profile.simulated:
            console.print(_NOTE, highlight=False)


def _clusters(profile: Profile) -> Table:
    table = Table(title=f"Products of {', '.join(profile.models)}, by shape m×n×k", title_justify="left")
    for column in ("padded to", "products", "padding", "of"):
        table.add_column(column, justify="left" if column in {"padded to", "of"} else "right")
    for one in profile.clusters:
        of = ", ".join(f"{m}×{n}×{k}" + (f" ({count})" if count > 1 else "") for m, n, k, count in one.products)
        count = str(sum(product[-1] for product in one.products))
        table.add_row(f"{one.m}×{one.n}×{one.k}", count, f"{one.padding:.0%}", of)
    return table


def _kernels(profile: Profile, width: int) -> Table:
    rows = [
        {
            "model": row.model,
            "kernel": row.signature,
            "count": str(row.count),
            "as": row.implementation,
            "greedy tile": row.greedy_tile,
            "collaborative": row.collaborative_tile,
            "problems": str(row.problems),
            "µs alone": f"{row.alone_seconds * 1e6:.1f}",
            "µs each, merged": f"{row.shared_seconds * 1e6:.1f}",
        }
        for row in profile.kernels
    ]
    needs = {title: max(cell_len(title), *(cell_len(row[title]) for row in rows)) for title in KERNEL_COLUMNS}
    needs["kernel"] = min(needs["kernel"], _SIGNATURE)
    beside = 3  # characters: two spaces and a line, and a line before the first
    shown = fitting([need + beside for need in needs.values()], list(KERNEL_COLUMNS.values()), width - 1)
    titles = [list(KERNEL_COLUMNS)[one] for one in shown]
    said = "simulated" if profile.simulated else "measured"
    table = Table(title=f"Kernels on {profile.device} ({said})", title_justify="left")
    for title in titles:
        table.add_column(
            title, justify="right" if title in _NUMBERS else "left", no_wrap=title != "kernel", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(row[title]) for title in titles))
    return table
