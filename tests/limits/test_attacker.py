"""An attacker that is to take only what nobody else wants of the processors does."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from bed.lifeline import Lifeline
from hostile import bombs
from hostile.attacker import Attacker
from hostile.queue import ROOTS, one_queue


def queue(pid: int) -> str:
    """Of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if "cpu" in line.split(":")[1].split(",") or line.startswith("0::"))


def test_it_gives_way(tmp_path: Path) -> None:
    before = queue(os.getpid())
    with Lifeline() as lifeline:
        group = lifeline.folder.name
        with one_queue(group, ()), Attacker(partial(bombs.load, tmp_path), "", 0, spare=True) as attacker:
            pid = attacker._process.pid
            assert pid is not None
            assert os.sched_getscheduler(pid) == os.SCHED_IDLE
            assert queue(pid) == queue(os.getpid()) != before
            assert queue(pid).endswith(group)
        assert queue(os.getpid()) == before
    assert not any((root / group).exists() for root in ROOTS), "the group ends with the lifeline"
