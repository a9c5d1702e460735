"""Opening the GPU, for an executor or to measure."""

from __future__ import annotations

from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.cuda.gpu import open_gpu
from treadle_agent.executor.cuda.tuner import GpuTuner


def open_cuda(memory: memoryview) -> tuple[GpuDevice, GpuTuner]:
    """The device over requests' shared memory, and what knows its costs; raises ImportError, or CuPy's error."""
    gpu = open_gpu()
    return GpuDevice(gpu, memory), GpuTuner(gpu)


def open_tuner() -> GpuTuner:
    """The tuner alone."""
    return GpuTuner(open_gpu())
