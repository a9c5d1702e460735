"""Which machine and which versions a figure was measured with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from treadle.bench.serving.report import Machine

_PACKAGES = ("treadle", "numpy", "onnx", "onnxruntime", "aiohttp", "uvloop", "msgspec")


def machine() -> Machine:
    """This machine, without its name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        processor, len(os.sched_getaffinity(0)), round(memory, 1), f"Linux {platform.release().partition('-')[0]}"
    )


def versions() -> dict[str, str]:
    """Python and the packages that matter here."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
