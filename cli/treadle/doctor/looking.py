"""Looks at this machine; starts nothing on it, and leaves nothing behind but an empty cache folder."""

from __future__ import annotations

import os
import resource
from importlib.util import find_spec
from pathlib import Path

from treadle.doctor.machine import Machine
from treadle_agent.cache import CacheError, cache_folder, check_cache
from treadle_agent.cluster.hardware import host_memory
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.shared_memory import SharedMemory

NVIDIA = "0x10de"  # PCI's number of the vendor
_DISPLAY = "0x03"  # PCI's class of display controllers, which data-centre GPUs are, too

_PCI = Path("/sys/bus/pci/devices")
_DEVICES = Path("/dev")


def look(pci: Path = _PCI, devices: Path = _DEVICES) -> Machine:
    """The facts, as this user and this process have them."""
    return Machine(
        gpus=_gpus(pci),
        cuda=_cuda(),
        barred=tuple(str(path) for path in sorted(devices.glob("nvidia*")) if not _opens(path)),
        mig_is_empty=_mig_is_empty(),
        mps=_mps(),
        memory=host_memory(),
        shared_memory=_shared_memory(),
        cache=_cache(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _gpus(pci: Path) -> int:
    """NVIDIA's on the bus, whatever driver they have."""
    return sum(
        _read(device / "vendor") == NVIDIA and _read(device / "class").startswith(_DISPLAY)
        for device in (pci.iterdir() if pci.exists() else ())
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _opens(path: Path) -> bool:
    return path.is_dir() or os.access(path, os.R_OK | os.W_OK)


def _cuda() -> str:
    try:
        choose_device("cuda")
    except DeviceError as error:
        says, _, fix = str(error).removeprefix("--device cuda: ").partition(": ")
        return f"{says}; {fix}"
    return ""


def _mig_is_empty() -> bool:
    if find_spec("pynvml") is None:
        return False
    from treadle_agent.cluster.nvml import Nvml

    nvml = Nvml()
    try:
        return nvml.mig_is_empty(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    finally:
        nvml.close()


def _mps() -> str:
    folder = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "")
    return folder if folder and not (Path(folder) / "control").exists() else ""


def _shared_memory() -> str:
    try:
        SharedMemory.create().close()
    except OSError as error:
        return f"memfd_create: {error.strerror}; allow the container to call it, and more memory"
    return ""


def _cache() -> str:
    try:
        check_cache(cache_folder())
    except CacheError as error:
        return str(error)
    return ""
