"""Opening an executor's device by its name."""

from __future__ import annotations

import time

from treadle_agent.executor.host import Device, HostDevice
from treadle_agent.executor.simulated import GPUS, SimulatedDevice, SimulatedTuner
from treadle_agent.executor.tuner import HostTuner, Tuner


def open_device(name: str, memory: memoryview) -> tuple[Device, Tuner]:
    """The device of a name, and what knows its costs; raises ValueError for a name that is none."""
    if name == "host":
        return HostDevice(memory, time.perf_counter), HostTuner()
    kind, _, model = name.partition(":")
    if kind == "simulated" and model in GPUS:
        return SimulatedDevice(GPUS[model], memory, time.perf_counter), SimulatedTuner(GPUS[model])
    if name == "cuda":
        from treadle_agent.executor.cuda.opening import open_cuda  # CuPy takes its time, and is not everywhere

        return open_cuda(memory)
    raise ValueError(f"no device {name!r}: host, cuda, or simulated: and one of {', '.join(GPUS)}")
