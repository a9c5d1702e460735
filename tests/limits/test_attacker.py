"""An attacker that is to take only what nobody else wants of the processors does."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from bed.lifeline import Lifeline
from hostile import bombs
from hostile.attacker import CONTROL_GROUPS, Attacker


def idle(pid: int, group: str) -> bool:
    """Whether a process is in an idle control group, or in a session of the least share."""
    places = [root / group for root in CONTROL_GROUPS if (root / group).is_dir()]
    for place in places:
        if (place / "cpu.idle").read_text() == "1\n" and str(pid) in (place / "cgroup.procs").read_text().split():
            return True
    return "nice 19" in Path(f"/proc/{pid}/autogroup").read_text() and os.getsid(pid) == pid


def test_it_gives_way(tmp_path: Path) -> None:
    with Lifeline() as lifeline:
        group = lifeline.folder.name
        with Attacker(partial(bombs.load, tmp_path), "", 0, group) as attacker:
            pid = attacker._process.pid
            assert pid is not None
            assert os.sched_getscheduler(pid) == os.SCHED_IDLE
            assert idle(pid, group)
    assert not any((root / group).exists() for root in CONTROL_GROUPS), "the group ends with the lifeline"
