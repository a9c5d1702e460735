"""Which machine and which versions a figure was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pynvml

from treadle.bench.serving.report import Machine

_PACKAGES = ("treadle", "numpy", "onnx", "onnxruntime", "aiohttp", "uvloop", "msgspec")
_CUPY = ("cupy-cuda12x", "cupy-cuda13x")


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
    return {"python": platform.python_version()} | _versions(_PACKAGES)


def gpu_facts() -> dict[str, str]:
    """The name, driver and versions of the first GPU.

    Raises:
        pynvml.NVMLError: there is none.
    """
    pynvml.nvmlInit()
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        found = {
            "device": pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    finally:
        pynvml.nvmlShutdown()
    return found | _versions(_CUPY)


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
