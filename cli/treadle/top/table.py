"""A view as tables, rows that need somebody first: marked, and where there are colours in red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from treadle.narrow import fitting
from treadle.top.columns import DEVICES, MARK, TENANTS, Column
from treadle.top.view import View

_BETWEEN = 2  # characters between two columns
_FOLDED = 24  # characters of a column that folds, at least where it needs them: no reason is a longer word

R = TypeVar("R")


class Tables:
    """`view` for a console of any width; `trouble`: why it is not fresh, "" while it is."""

    def __init__(self, view: View, trouble: str = "") -> None:
        self._view = view
        self._trouble = trouble

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, room = self._view, options.max_width
        yield Text(_headline(view), overflow="fold")
        if self._trouble:
            yield Text(f"{MARK} not fresh: {self._trouble}", "bold red", overflow="fold")
        for missing in view.missing:
            yield Text(f"{MARK} {missing}", "yellow", overflow="fold")
        yield Text()
        yield _table(TENANTS, sorted(view.tenants, key=lambda row: (not row.broken, row.namespace, row.name)), room)
        if view.devices:
            yield Text()
            yield _table(DEVICES, view.devices, room)


def _headline(view: View) -> str:
    of = f", over {view.seconds:.3g} s" if view.seconds is not None else ""
    count = len(view.tenants)
    broken = f"{view.broken} with a promise that is not kept" if view.broken else "no promise is broken"
    return f"{view.source}{of}: {count} tenant{'' if count == 1 else 's'}{', ' + broken if count else ''}"


def _table(columns: Sequence[Column[R]], rows: Sequence[R], room: int) -> Table:
    needs = [_needed(column, rows) for column in columns]
    shown = [columns[one] for one in fitting(needs, [column.spare for column in columns], room + _BETWEEN)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in shown:
        table.add_column(
            column.title, justify="right" if column.number else "left", no_wrap=not column.folds, overflow="fold"
        )
    for row in rows:
        cells = [column.cell(row) for column in shown]
        table.add_row(*map(Text, cells), style="bold red" if cells[0] == MARK else None)
    return table


def _needed(column: Column[R], rows: Sequence[R]) -> int:
    """Characters, with those to the next column."""
    cells = max((cell_len(column.cell(row)) for row in rows), default=0)
    return max(cell_len(column.title), min(cells, _FOLDED) if column.folds else cells) + _BETWEEN
