"""What a node may not leave behind on this machine, nor change of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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
