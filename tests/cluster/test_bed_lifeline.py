"""Whatever happens to a harness, nothing that it started is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bed import guardian
from bed.lifeline import Lifeline

# A harness with a child, a grandchild in a session of its own, and a file; it says what they are and waits.
HARNESS = """
import signal, subprocess, sys, time
from bed.lifeline import Lifeline

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored

lifeline = Lifeline()
(lifeline.folder / "file").write_text("data")
child = "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], env=lifeline.environment(), start_new_session=True)
while len(lifeline.processes()) < 2:
    time.sleep(0.01)
print(lifeline.mark, lifeline.folder, flush=True)
{end}
"""
PATH = os.fspath(Path(__file__).parent)


def harness(end: str) -> tuple[subprocess.Popen[str], str, Path]:
    """A started harness, its mark and its folder; `end`: what it does next."""
    command = [sys.executable, "-c", HARNESS.format(end=end)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PATH}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    mark, folder = process.stdout.readline().split()
    assert len(guardian.marked(mark)) == 2
    return process, mark, Path(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_harness_leaves_nothing_running(eventually: Callable[..., object], number: signal.Signals) -> None:
    process, mark, folder = harness("time.sleep(600)")
    with process:
        process.send_signal(number)
    eventually(lambda: not guardian.marked(mark), seconds=10)
    eventually(lambda: not folder.exists(), seconds=10)


def test_a_harness_that_fails_leaves_nothing_running(eventually: Callable[..., object]) -> None:
    process, mark, folder = harness("raise SystemExit(3)")
    with process:
        assert process.wait(10) == 3
    eventually(lambda: not guardian.marked(mark), seconds=10)
    eventually(lambda: not folder.exists(), seconds=10)


CONTROL_PLANE = """
import time
from pathlib import Path
from bed.cluster import Cluster

with Cluster.running(Path({binaries!r})) as cluster:
    print(cluster.lifeline.mark, cluster.folder, flush=True)
    time.sleep(600)
"""


def test_a_control_plane_does_not_outlive_a_killed_harness(binaries: Path, eventually: Callable[..., object]) -> None:
    command = [sys.executable, "-c", CONTROL_PLANE.format(binaries=str(binaries))]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": PATH}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        mark, folder = process.stdout.readline().split()
        assert len(guardian.marked(mark)) == 3
        process.kill()
    eventually(lambda: not guardian.marked(mark), seconds=10)
    eventually(lambda: not Path(folder).exists(), seconds=10)


def test_closing_ends_everything_before_it_returns(eventually: Callable[..., object]) -> None:
    with Lifeline() as lifeline:
        mine = subprocess.Popen(["sleep", "600"], env=lifeline.environment(), start_new_session=True)
        others = subprocess.Popen(["sleep", "600"])
        eventually(lambda: lifeline.processes() == [mine.pid])
    assert lifeline.processes() == []
    assert not lifeline.folder.exists()
    assert mine.wait() == -signal.SIGKILL
    assert others.poll() is None, "what is not its own was ended too"
    others.kill()
    others.wait()
