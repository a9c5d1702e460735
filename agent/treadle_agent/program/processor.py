"""What kind of processor this is: what was made or measured for one kind is not for another."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """What the layout of a segment's weights, and how long anything takes, depends on: kind and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "CPU part", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
