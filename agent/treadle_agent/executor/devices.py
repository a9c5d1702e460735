"""Which device serves: what was asked for, checked against what this machine has."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec

from treadle_agent.executor.gpu_model import GPUS

_BACKENDS = "treadle_agent.executor"  # a backend is a module in there


class DeviceError(Exception):
    """Raised when the device that was asked for cannot be used here; the message names what is missing and the fix."""


def choose_device(asked: str) -> str:
    """The executor's name of the device for ``auto``, ``host``, ``cuda`` or ``simulated:MODEL``.

    Raises:
        DeviceError: it cannot be used on this machine, or there is no such device.
    """
    if asked == "auto":
        return "cuda" if _missing_for_cuda() is None else "host"
    kind, _, model = asked.partition(":")
    if asked == "host":
        return asked
    if asked == "cuda":
        if (missing := _missing_for_cuda()) is not None:
            raise DeviceError(f"--device cuda: {missing}; or serve without a GPU: --device host")
        return asked
    if kind == "simulated":
        if model not in GPUS:
            raise DeviceError(f"--device {asked}: the simulated GPUs are {', '.join(GPUS)}")
        return asked
    hint = f"; did you mean simulated:{asked.upper()}?" if asked.upper() in GPUS else ""
    raise DeviceError(f"--device {asked}: must be auto, host, cuda or simulated:MODEL{hint}")


def _missing_for_cuda() -> str | None:
    """What keeps this machine from serving on a GPU, or None."""
    if find_spec(f"{_BACKENDS}.cuda") is None:
        return "this version of treadle cannot serve on a GPU yet"
    if find_spec("cupy") is None:
        return (
            "CuPy is not installed: pip install 'treadle[cuda12]' or 'treadle[cuda13]', or take the image whose tag "
            "ends in -cuda12 or -cuda13 (the chart's agent.image.tag), as your driver is"
        )
    return _missing_driver()


def _missing_driver() -> str | None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1): install it, or start the container with --gpus all"
    if (code := driver.cuInit(0)) != 0:
        return f"the NVIDIA driver does not start (cuInit returns {code}): see whether nvidia-smi lists a GPU"
    count = ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver sees no GPU: check CUDA_VISIBLE_DEVICES"
    return None
