"""Children and Ctrl-C, which a terminal sends to every process of the foreground group."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.forkserver import _forkserver
from pathlib import Path

from treadle_agent.program import forkserver


def blocked(pid: int) -> int:
    """The mask of signals that a process' main thread does not take."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk:"))
    return int(line.split()[1], 16)


def test_neither_the_server_nor_a_child_takes_ctrl_c_from_its_first_moment() -> None:
    child = forkserver.context().Process(target=time.sleep, args=(60,))
    forkserver.start(child)
    try:
        assert child.pid is not None
        for pid in (child.pid, _forkserver._forkserver_pid):
            assert blocked(pid) & 1 << signal.SIGINT - 1, pid
            assert not blocked(pid) & 1 << signal.SIGTERM - 1, pid
        os.kill(child.pid, signal.SIGINT)
    finally:
        child.terminate()
        child.join(10)
    assert child.exitcode == -signal.SIGTERM


def test_the_parent_still_takes_ctrl_c() -> None:
    forkserver.context()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
