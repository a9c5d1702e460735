"""A simulated GPU as a device: answers are computed on the host, time is that of the analytic model.

For trying schedules and whole agents without a GPU; it says nothing about a real one's kernels. Every launch reports
its simulated duration, and takes at least that long where the host is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from treadle_agent.executor.gpu_model import GPUS, Gpu, GpuModel
from treadle_agent.executor.gpu_work import kernel_seconds
from treadle_agent.executor.host import HostDevice, Launched
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Weights
from treadle_agent.executor.super_kernel import MergedProgram
from treadle_agent.executor.tuner import MEASURED, HostMemory, Profile, profile
from treadle_agent.policy.scheduling import Group
from treadle_agent.program.model import Program, TensorType

__all__ = ["GPUS", "SimulatedDevice", "SimulatedTuner"]


class SimulatedDevice(HostDevice):
    """The host's answers at a simulated GPU's pace."""

    def __init__(self, gpu: Gpu, memory: memoryview, clock: Callable[[], float]) -> None:
        super().__init__(memory, clock)
        self._model = GpuModel(gpu)

    def run(self, group: Group, begin: int, end: int) -> Launched:
        """Run kernels begin..end; the seconds are simulated."""
        body = group.executable.body
        assert isinstance(body, MergedProgram), "a simulated GPU has no segments"
        started = self._clock()
        super().run(group, begin, end)
        seconds = [
            kernel_seconds(self._model, body.program, kernel, len(group.streams))
            for kernel in body.program.kernels[begin:end]
        ]
        rest = sum(seconds) - (self._clock() - started)
        if rest > 0.0:
            time.sleep(rest)
        return [(name, each, 1) for name, each in zip(body.signatures[begin:end], seconds, strict=True)]


class SimulatedTuner(HostMemory):
    """Knows a simulated GPU's costs without a trial."""

    runs_segments = False
    identity = ()

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self._model = GpuModel(gpu)

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:  # noqa: ARG002 - a Tuner
        """What a program costs."""
        return profile(
            {
                problems: [kernel_seconds(self._model, program, kernel, problems) for kernel in program.kernels]
                for problems in MEASURED
            }
        )

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:  # noqa: ARG002 - a Tuner
        """Never called: a simulated GPU has no segments."""
        raise AssertionError
