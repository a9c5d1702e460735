"""Process 1 of a node: makes its namespaces fit to live in, and collects orphans.

    python inside.py FOLDER ADDRESS/PREFIX GATEWAY

Prints "prepared" when it waits for its network, the interface eth0, and "ready" when that is set up. What is mounted
here nobody else sees, and what would be written to this machine's own folders and settings goes there. Ends when it is
killed, and everything in its namespace of processes with it. Runs as a script, hence the standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# A node has its own, in memory: images are unpacked there twice as fast as on a disk, and gone at once.
HIDDEN = ("/run", "/var/log", "/var/lib", "/opt")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# What the kubelet sets for the whole machine.
SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
LINK = 10.0  # seconds for the harness to give us eth0


def main(folder: Path, address: str, gateway: str) -> None:
    """Prepare everything, then collect what has ended."""
    _mount_control_groups()
    for place in HIDDEN:
        _mount("-t", "tmpfs", "-o", "mode=755", "node", place)
    pods = folder / "kubelet"
    pods.mkdir()
    Path("/var/lib/kubelet").mkdir()
    _mount("--bind", str(pods), "/var/lib/kubelet")
    for name, value in SETTINGS.items():
        file = Path("/run/settings") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _mount("--bind", str(file), f"/proc/sys/{name}")
    _mount("--make-rshared", "/")
    print("prepared", flush=True)
    _set_up_network(address, gateway)
    print("ready", flush=True)
    _collect()


def _mount_control_groups() -> None:
    """Anew, so that those of this node are the root of each hierarchy."""
    fields = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [(place, kind) for _, place, kind, *_ in fields if kind in ("cgroup", "cgroup2")]
    _mount("-t", "sysfs", "sysfs", "/sys")
    if any(Path(place) != CONTROL_GROUPS for place, _ in found):
        _mount("-t", "tmpfs", "-o", "mode=755", "cgroup", str(CONTROL_GROUPS))
    for place, kind in found:
        Path(place).mkdir(exist_ok=True)
        name = Path(place).name
        controllers = "none,name=systemd" if name == "systemd" else name
        _mount("-t", kind, *(("-o", controllers) if kind == "cgroup" else ()), "cgroup", place)


def _set_up_network(address: str, gateway: str) -> None:
    end = time.monotonic() + LINK
    while not Path("/sys/class/net/eth0").exists():
        if time.monotonic() > end:
            sys.exit(f"no eth0 within {LINK:g} s")
        time.sleep(0.02)
    for words in ("link set lo up", f"addr add {address} dev eth0", "link set eth0 up"):
        _run("ip", *words.split())
    _run("ip", "route", "add", "default", "via", gateway)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _collect() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        signal.sigwait({signal.SIGCHLD})


def _mount(*words: str) -> None:
    _run("mount", *words)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
