"""A real node comes up, runs a Pod, and leaves nothing behind when its harness is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
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
    print(cluster.lifeline.mark, cluster.folder, cluster.control_plane.address[0], flush=True)
    time.sleep(600)
"""
TESTS = Path(__file__).parents[1]
PATH = os.pathsep.join(str(TESTS / name) for name in ("e2e", "cluster", "images", "objects"))
# Where what a node consists of would write, if it could.
FOLDERS = ("/etc", "/opt", "/run", "/usr/libexec", "/var/lib", "/var/log")
MOUNTED = ("/opt", "/proc", "/run", "/sys", "/var/lib/kubelet", "/var/log", f"{tempfile.gettempdir()}/treadle-bed-")
SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def state() -> dict[str, object]:
    """What of this machine no node may change."""
    return {
        **{folder: sorted(path.name for path in Path(folder).iterdir()) for folder in FOLDERS},
        "settings": [Path("/proc/sys", name).read_text() for name in SETTINGS],
        "mounts": sorted(place for place in mounts() if place.startswith(MOUNTED)),
    }


def mounts() -> list[str]:
    """Where this machine has something mounted."""
    return [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]


def cables(address: str) -> list[str]:
    """The interfaces of this machine that have an address: the end of a node's cable has its own."""
    found = json.loads(subprocess.run(["ip", "-json", "addr"], check=True, capture_output=True).stdout)
    return [link["ifname"] for link in found if address in (one.get("local") for one in link["addr_info"])]


def processes(groups: list[Path]) -> dict[int, str]:
    """Command lines of what is in control groups and below, by number."""
    found = {}
    for file in (file for group in groups for file in group.rglob("cgroup.procs")):
        for number in map(int, file.read_text().split()):
            with suppress(OSError):  # it has ended meanwhile
                found[number] = Path(f"/proc/{number}/cmdline").read_text()
    return found


def still_there(was: dict[int, str]) -> list[str]:
    """Those of these processes that have not ended."""
    found = []
    for number, line in was.items():
        with suppress(OSError):
            found += [line] if Path(f"/proc/{number}/cmdline").read_text() == line else []
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_node_runs_a_pod_and_leaves_nothing_behind(binaries: Path, number: signal.Signals) -> None:
    before = state()
    command = [sys.executable, "-c", HARNESS, str(binaries)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": PATH}, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout is not None
        mark, folder, address = harness.stdout.readline().split()
        name = Path(folder).name
        was = processes(guardian.control_groups(name))
        for program in ("/pause", "containerd-shim", "kubelet", "kube-proxy"):
            assert any(program in line for line in was.values()), f"no {program} in {was}"
        assert len(cables(address)) == 1
        harness.send_signal(number)
    eventually(lambda: not guardian.marked(mark), 30.0)
    eventually(lambda: not Path(folder).exists(), 60.0)
    assert guardian.control_groups(name) == []
    assert still_there(was) == []
    assert cables(address) == []
    assert state() == before
