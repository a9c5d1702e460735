"""Processes that wait for the processors in one queue, as those of a container do.

Without that, Linux shares the processors out by sessions first (sched(7), "The autogroup feature"): then who is idle in
one session goes before who is not in another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))  # version 1, version 2


@contextmanager
def one_queue(group: str, processes: Sequence[int]) -> Iterator[None]:
    """Have these processes, and this one with what it starts meanwhile, in a control group of that name.

    This one leaves it in the end, the others end with it. Raises OSError for who may make none.
    """
    resource_tracker.ensure_running()  # else it is started by the first process that multiprocessing starts
    root = next(root for root in ROOTS if root.is_dir())
    place = root / group
    place.mkdir(exist_ok=True)
    before = _own_group(root)
    for process in (*processes, os.getpid()):
        _move(process, place)
    try:
        yield
    finally:
        _move(os.getpid(), before)


def _own_group(root: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") or (not controllers and root == ROOTS[1]):
            return root / path.lstrip("/")
    raise OSError("this process is in no control group for processors")


def _move(process: int, place: Path) -> None:
    (place / "cgroup.procs").write_text(f"{process}")
