"""Launches bound to so many problems: what they read besides tensors, and how runs of them are launched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treadle_agent.executor.cuda.gpu import Bytes, Gpu, copy_in

Launch = Callable[[], None]
Problem = tuple[int, int]  # slot, slab row
Addresses = np.ndarray[Any, np.dtype[np.uint64]]
Fill = Callable[[Addresses, Addresses], np.ndarray[Any, Any]]  # from the addresses of problems' slots and rows


class Tables:
    """What launches read besides tensors: `add` tells where each table will lie, once there is memory for all."""

    def __init__(self) -> None:
        self.fills: list[tuple[int, Fill]] = []
        self.size = 0

    def add(self, nbytes: int, fill: Fill) -> int:
        """The offset of a table of so many bytes, which `fill` gives for any problems."""
        offset = self.size
        self.fills.append((offset, fill))
        self.size += -(-nbytes // 16) * 16
        return offset

    def keep(self, table: np.ndarray[Any, Any]) -> int:
        """The offset of a table that is the same for any problems."""
        return self.add(table.nbytes, lambda _slots, _rows: table)


@dataclass(eq=False, slots=True)
class Bound:
    """The launches of each kernel for so many problems, whichever they are: their addresses lie in tables.

    `problems`: those that the tables are of. One group on the device at a time may have it. `graphs`: the end of each
    run that is recorded, and its graph, by its first kernel; `shares` says how its time is told of its kernels.
    """

    launches: tuple[tuple[Launch, ...], ...]
    count: int
    memory: Any
    problems: tuple[tuple[int, int], ...]
    _pinned: Any
    _view: Bytes
    _fills: Sequence[tuple[int, Fill]]
    shares: Sequence[float] = ()
    graphs: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def record(self, gpu: Gpu, runs: Iterable[range]) -> None:
        """Record runs, on a thread that has the time; what is launched meanwhile is launched kernel by kernel."""
        for run in runs:
            graph = gpu.record(launch for kernel in run for launch in self.launches[kernel])
            self.graphs[run.start] = run.stop, graph

    def pieces(self, begin: int, end: int) -> Iterator[tuple[range, Sequence[Launch]]]:
        """The kernels begin..end: runs that are recorded and lie within in one piece, all others alone."""
        while begin < end:
            stop, graph = self.graphs.get(begin, (end + 1, None))
            if graph is not None and stop <= end:
                yield range(begin, stop), (graph.launch,)
                begin = stop
            else:
                yield range(begin, begin + 1), self.launches[begin]
                begin += 1

    def told(self, kernels: range, seconds: float) -> list[float]:
        """What each kernel of a piece took, where all took `seconds`."""
        if len(kernels) == 1:
            return [seconds]
        whole = self.shares[kernels.stop] - self.shares[kernels.start]
        if whole <= 0.0:
            return [seconds / len(kernels)] * len(kernels)
        return [seconds * (self.shares[each + 1] - self.shares[each]) / whole for each in kernels]

    def turn_to(self, problems: tuple[tuple[int, int], ...], stream: Any) -> None:
        """Write the tables for these addresses of slots and rows; nothing reads them now."""
        if problems == self.problems:
            return
        slots, rows = np.array(problems, np.uint64).T
        for offset, fill in self._fills:
            table = fill(slots, rows)
            self._view[offset : offset + table.nbytes] = table.view(np.uint8).reshape(-1)
        copy_in(self.memory, 0, self._pinned, 0, len(self._view), stream)
        self.problems = problems
