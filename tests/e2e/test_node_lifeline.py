"""A real node comes up, runs a Pod, and leaves nothing behind when its harness is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bed import guardian
from bed.eventually import eventually
from node.traces import containers, state

pytestmark = pytest.mark.e2e

HARNESS = """
import sys, time
from pathlib import Path
from bed.eventually import eventually
from node import node, settings

pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "idle"},
    "spec": {"containers": [{"name": "idle", "image": settings.PAUSE}]},
}
with node.running(Path(sys.argv[1])) as (cluster, _):
    cluster.apply(pod)
    cluster.kubectl("wait", "pod/idle", "--for=condition=Ready", "--timeout=60s", seconds=90.0)
    print(cluster.lifeline.mark, cluster.folder, flush=True)
    time.sleep(600)
"""
TESTS = Path(__file__).parents[1]
PATH = os.pathsep.join(str(TESTS / name) for name in ("e2e", "cluster", "images"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_node_runs_a_pod_and_leaves_nothing_behind(binaries: Path, number: signal.Signals) -> None:
    before = state()
    command = [sys.executable, "-c", HARNESS, str(binaries)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": PATH}, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        mark, folder = harness.stdout.readline().split()
        assert containers()
        assert guardian.control_groups(Path(folder).name)
        assert state()["links"] != before["links"]
        harness.send_signal(number)
    eventually(lambda: not guardian.marked(mark), 30.0)
    eventually(lambda: not Path(folder).exists(), 60.0)
    assert containers() == []
    assert guardian.control_groups(Path(folder).name) == []
    assert state() == before
