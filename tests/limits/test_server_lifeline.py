"""A server under attack does not outlive whoever attacks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bed.eventually import eventually

HARNESS = """
import time
from pathlib import Path
from hostile.server import serving

with serving(Path({folder!r})) as server:
    print(*server.processes, flush=True)
    time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Whether a process is there, and is more than what is left of one until its parent has noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_server_does_not_outlive_a_killed_test(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))  # where this test has its modules from
    command = [sys.executable, "-c", HARNESS.format(folder=str(tmp_path))]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        processes = [int(word) for word in harness.stdout.readline().split()]
        assert len(processes) > 1
        assert all(map(runs, processes))
        harness.kill()
    eventually(lambda: not any(map(runs, processes)), 10.0)
