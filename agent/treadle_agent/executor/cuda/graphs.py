"""Runs of own kernels as CUDA graphs: one launch a run, once a thread that has the time has recorded it."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Replay:
    """How a program's runs are replayed. `later` takes over what records them; it is not done on the way to a deadline.

    `shares`: as in `policy.latency.Executable`: a run's time is measured as a whole, and told of its kernels by these.
    """

    shares: Sequence[float]
    later: Callable[[Job], None]


def runs_of_own(launches: Sequence[int], own: Iterable[bool]) -> list[range]:
    """The kernels (by number) of each run of own kernels; `launches`: how many each has. One launch alone is no run."""
    runs: list[range] = []
    begin = 0
    for end, mine in enumerate((*own, False)):
        if not mine:
            if sum(launches[begin:end]) > 1:
                runs.append(range(begin, end))
            begin = end + 1
    return runs


class Recorder:
    """A thread that records one run after another, begun with the first."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, job: Job) -> None:
        """Do a job as soon as those before it are done; called by the dispatch thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="recording", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the run goes on kernel by kernel; a lost GPU shows in its launches
                sys.stderr.write(f"a run of kernels is not recorded: {error}\n")
            del job  # what it holds may be freed while the next one is waited for
