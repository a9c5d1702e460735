"""What a device is: its id on the node, the name that profiles know its kind by, and its memory."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from treadle_agent.executor.gpu_model import GPUS
from treadle_api.objects import DEVICE_MODEL_LENGTH
from treadle_api.tenant import Precision
from treadle_api.units import Bytes

if TYPE_CHECKING:
    from treadle_agent.cluster.nvml import Nvml

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container's memory, by cgroups of version 2 and 1

_NOT_PRINTABLE = re.compile(r"[\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What does not change of a device while the agent runs."""

    id: str
    model: str
    memory: Bytes
    precisions: tuple[Precision, ...] = (Precision.FLOAT32,)


def describe(device: str, nvml: Nvml | None) -> DeviceFacts:
    """The facts of a device by its name for the executor (`executor.devices`); only ``cuda`` asks `nvml`.

    Raises:
        NvmlError: it is a GPU, and the driver does not tell what it is.
    """
    if device == "cuda":
        assert nvml is not None
        gpu = nvml.gpu(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        precisions = tuple(one for one in Precision if one is not Precision.TF32 or gpu.tf32)
        return DeviceFacts(gpu.uuid, _printable(gpu.model), gpu.memory, precisions)
    kind, _, model = device.partition(":")
    if kind == "simulated":
        return DeviceFacts(device, f"simulated {model}", Bytes(int(GPUS[model].memory)))
    return DeviceFacts(device, _printable(processor_name()), host_memory())


def processor_name(proc: Path = PROC) -> str:
    """The host's processor, as it calls itself."""
    lines = (proc / "cpuinfo").read_text().splitlines()
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return named.get("model name") or named.get("Processor") or platform.processor() or platform.machine() or "host"


def host_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> Bytes:
    """The machine's memory, or the container's share of it where that is less."""
    [total] = re.findall(r"^MemTotal:\s+(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE)
    least = int(total) * 1024
    for name in _LIMITS:
        try:
            limit = (cgroup / name).read_text().strip()
        except OSError:  # cgroups are of the other version
            continue
        if limit.isdecimal():
            least = min(least, int(limit))
    return Bytes(least)


def _printable(name: str) -> str:
    return _NOT_PRINTABLE.sub(" ", name).strip()[:DEVICE_MODEL_LENGTH].strip()
