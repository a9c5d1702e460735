"""What a server costs: CPU time and memory of a process and all its descendants, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _STIME = 1, 11, 12  # fields of /proc/PID/stat after the command's name; proc(5)


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_seconds` since the processes began; `rss` and `pss` in bytes: resident memory summed over processes, and
    the same with memory shared by several processes counted once.
    """

    cpu_seconds: float
    rss: int
    pss: int


def usage(root: int) -> Usage:
    """Process `root` and its descendants, now; raises ProcessLookupError when `root` has ended."""
    cpu, rss, pss = 0.0, 0, 0
    tree = descendants(root)
    for pid in tree:
        try:
            stat = _stat(pid)
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):  # a child that ends meanwhile
            if pid == root:
                raise ProcessLookupError(root) from None
            continue
        cpu += (int(stat[_UTIME]) + int(stat[_STIME])) / _TICKS
        rss += _kilobytes(rollup, "Rss:") * 1024
        pss += _kilobytes(rollup, "Pss:") * 1024
    return Usage(cpu, rss, pss)


def descendants(root: int) -> list[int]:
    """`root` and every process below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[_PPID]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # the name may hold anything


def _kilobytes(rollup: str, key: str) -> int:
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(key))
