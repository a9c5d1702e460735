"""A progress bar on standard error, and lines where that is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """How far a long benchmark is; a context manager."""

    def __init__(self, console: Console) -> None:
        columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._console = console
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._total = self._done = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, steps: int) -> None:
        """There will be about `steps` steps."""
        self._total = steps
        self._bar.update(self._task, total=steps)

    def step(self, what: str) -> None:
        """The next step begins."""
        self._bar.update(self._task, completed=self._done, description=what)
        self._done += 1
        if not self._console.is_terminal:
            self._console.print(f"[{self._done}/{self._total}] {what}", markup=False, highlight=False)

    def warn(self, what: str) -> None:
        """Something that the reader must see."""
        self._console.print(what, style="yellow", markup=False, highlight=False)
