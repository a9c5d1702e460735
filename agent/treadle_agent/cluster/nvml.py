"""What NVIDIA's driver tells of a GPU. The one door to `pynvml` (nvidia-ml-py)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml

from treadle_agent.executor.precision import FIRST_WITH_TF32
from treadle_api.units import Bytes


class NvmlError(Exception):
    """Raised when the driver does not tell what is asked; the message says what is missing and the fix."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG instance of it; `tf32`: whether it computes that."""

    uuid: str
    model: str
    memory: Bytes
    tf32: bool


class Nvml:
    """The library, started when a GPU is first asked about: a host without a driver needs none."""

    def __init__(self) -> None:
        self._started = False

    def gpu(self, visible: str) -> Gpu:
        """The first GPU that `visible` (the value of CUDA_VISIBLE_DEVICES, "" where unset) lets CUDA see.

        Raises:
            NvmlError: there is no driver, or no such GPU.
        """
        try:
            handle = self._handle(visible)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            return Gpu(uuid, pynvml.nvmlDeviceGetName(handle), Bytes(int(memory.total)), _has_tf32(handle, uuid))
        except pynvml.NVMLError as error:
            raise NvmlError(
                f"NVML does not tell which GPU this is ({error}): see whether nvidia-smi lists it, and start the "
                "container with --gpus all"
            ) from error

    def fault(self, uuid: str) -> str:
        """Why a GPU should serve nothing, "" where nothing is wrong: uncorrected memory errors, or a lost device."""
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            with contextlib.suppress(pynvml.NVMLError_NotSupported):  # consumer GPUs have no ECC
                errors = pynvml.nvmlDeviceGetTotalEccErrors(
                    handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
                )
                if errors:
                    return f"{errors} uncorrected ECC errors since the driver was loaded"
        except pynvml.NVMLError as error:
            return f"NVML: {error}"
        return ""

    def mig_is_empty(self, visible: str) -> bool:
        """Whether CUDA sees no part of the first visible GPU, since that is to be used in MIG instances and has none.

        False as well where there is no driver, or no such GPU.
        """
        try:
            handle = self._handle(visible)
            divided, _ = pynvml.nvmlDeviceGetMigMode(handle)
            return divided == pynvml.NVML_DEVICE_MIG_ENABLE and not _has_instance(handle)
        except pynvml.NVMLError:
            return False

    def close(self) -> None:
        """Let go of the library."""
        if self._started:
            pynvml.nvmlShutdown()
            self._started = False

    def _handle(self, visible: str) -> object:
        if not self._started:
            pynvml.nvmlInit()
            self._started = True
        first = visible.partition(",")[0].strip()
        if first.startswith(("GPU-", "MIG-")):
            return pynvml.nvmlDeviceGetHandleByUUID(first)
        return pynvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)


def _has_tf32(handle: object, uuid: str) -> bool:
    """TF32 and MIG came together, with Ampere; of an instance of MIG not every driver tells the capability."""
    return uuid.startswith("MIG-") or tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)) >= FIRST_WITH_TF32


def _has_instance(handle: object) -> bool:
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with contextlib.suppress(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            return True
    return False
