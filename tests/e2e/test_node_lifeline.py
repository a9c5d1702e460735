"""A real node comes up, runs a Pod, and leaves nothing behind when its harness is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bed import guardian
from bed.eventually import eventually

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
# Where what a node consists of would write, if it could.
FOLDERS = ("/etc", "/opt", "/run", "/usr/libexec", "/var/lib", "/var/log")
SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def state() -> dict[str, object]:
    """What of this machine a node may not change."""
    found = {folder: sorted(path.name for path in Path(folder).iterdir()) for folder in FOLDERS}
    links = json.loads(subprocess.run(["ip", "-json", "link"], check=True, capture_output=True).stdout)
    return {
        **found,
        "settings": [Path("/proc/sys", name).read_text() for name in SETTINGS],
        "links": [link["ifname"] for link in links],
        "mounts": Path("/proc/mounts").read_text(),
    }


def containers() -> list[str]:
    """Command lines of containers' keepers and of what they keep, on the whole machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"/pause") or b"containerd-shim" in line:
                found.append(line.decode())
    return found


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
