"""Joins control groups of a name, in every hierarchy, and becomes a command: `python joining.py NAME COMMAND...`.

What a command starts is in its control groups, so they are all that must be known to end it and whatever it started.
Makes them where they are not there yet. Runs as a script, hence the standard library only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
INHERITED = ("cpuset.cpus", "cpuset.mems")  # which a new control group lacks, and cannot be joined without


def hierarchies(mounts: str) -> list[Path]:
    """Where control groups are mounted, of what /proc/mounts says: one place in version 2, several in version 1."""
    fields = [line.split() for line in mounts.splitlines()]
    return [Path(place) for _, place, kind, *_ in fields if kind in ("cgroup", "cgroup2")]


def join(name: str) -> None:
    """Put this process into the control groups of that name."""
    for hierarchy in hierarchies(Path("/proc/mounts").read_text()):
        group = hierarchy / name
        if not group.is_dir():
            group.mkdir(exist_ok=True)
            for setting in INHERITED:
                if (hierarchy / setting).exists():
                    (group / setting).write_text((hierarchy / setting).read_text())
        (group / "cgroup.procs").write_text(str(os.getpid()))


if __name__ == "__main__":
    join(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
