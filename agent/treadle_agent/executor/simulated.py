"""An analytic GPU: answers are computed on the host, time is that of a roofline with waves of tiles.

For trying schedules and whole agents without a GPU; it says nothing about a real one's kernels. Every launch reports
its simulated duration, and takes at least that long where the host is faster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from treadle_agent.executor.host import HostDevice, Launched
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Slab
from treadle_agent.executor.super_kernel import MergedProgram
from treadle_agent.executor.tuner import PROBLEMS, Profile, line
from treadle_agent.policy.scheduling import Group
from treadle_agent.program.model import Kernel, Program, TensorType

TILE = 64  # calibrated: rows and columns of the output that one thread block computes
LAUNCH_SECONDS = 5e-6  # calibrated: what a kernel launch costs before it does anything


@dataclass(frozen=True, slots=True)
class Gpu:
    """Published figures: streaming multiprocessors, float32 FLOP/s and memory bytes/s at their peaks."""

    multiprocessors: int
    flops: float
    bandwidth: float


GPUS = {
    "V100": Gpu(80, 15.7e12, 900e9),  # NVIDIA V100 datasheet, SXM2
    "A100": Gpu(108, 19.5e12, 1555e9),  # NVIDIA A100 datasheet, 40 GB SXM
    "H100": Gpu(132, 67e12, 3350e9),  # NVIDIA H100 datasheet, SXM
}


def kernel_seconds(gpu: Gpu, program: Program, kernel: Kernel, problems: int) -> float:
    """Time of one launch with `problems` problems: the slower of arithmetic, in whole waves of tiles, and memory."""
    outputs = [program.values[index] for index in kernel.outputs]
    inputs = [program.type_of(one) for one in kernel.inputs if one is not None]
    elements = sum(type_.elements for type_ in outputs)
    tiles = problems * max(1, math.ceil(elements / TILE**2))
    waves = math.ceil(tiles / gpu.multiprocessors) * gpu.multiprocessors
    arithmetic = problems * _flops(program, kernel, elements) / gpu.flops * (waves / tiles)
    memory = problems * sum(type_.nbytes for type_ in (*inputs, *outputs)) / gpu.bandwidth
    return LAUNCH_SECONDS + max(arithmetic, memory)


def _flops(program: Program, kernel: Kernel, elements: int) -> float:
    types = [program.type_of(one) if one is not None else None for one in kernel.inputs]
    match kernel.op:
        case "MatMul" | "Gemm":
            left, right = types[0], types[1]
            assert left is not None
            assert right is not None
            shared = math.sqrt(left.elements * right.elements / max(elements, 1))  # the dimension both have
            return 2.0 * elements * shared
        case "Conv" | "ConvTranspose":
            weight = types[1]
            assert weight is not None
            return 2.0 * elements * weight.elements / weight.shape[0]
        case "LSTM" | "GRU" | "RNN":
            sequence = types[0]
            assert sequence is not None
            return 2.0 * sequence.shape[0] * sequence.shape[1] * sum(one.elements for one in types[1:3] if one)
        case _:
            return float(elements)


class SimulatedDevice(HostDevice):
    """The host's answers at a simulated GPU's pace."""

    def __init__(self, gpu: Gpu, memory: memoryview, clock: Callable[[], float]) -> None:
        super().__init__(memory, clock)
        self._gpu = gpu

    def run(self, group: Group, begin: int, end: int) -> Launched:
        """Run kernels begin..end; the seconds are simulated."""
        body = group.executable.body
        assert isinstance(body, MergedProgram), "a simulated GPU has no segments"
        started = self._clock()
        super().run(group, begin, end)
        seconds = [
            kernel_seconds(self._gpu, body.program, kernel, len(group.streams))
            for kernel in body.program.kernels[begin:end]
        ]
        rest = sum(seconds) - (self._clock() - started)
        if rest > 0.0:
            time.sleep(rest)
        return list(zip(body.signatures[begin:end], seconds, strict=True))


class SimulatedTuner:
    """Knows a simulated GPU's costs without a trial."""

    runs_segments = False

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def merged(self, program: Program, slab: Slab, weights: Path) -> Profile | None:  # noqa: ARG002 - a Tuner
        """What a program costs."""
        alone, together = (
            [kernel_seconds(self._gpu, program, kernel, problems) for kernel in program.kernels]
            for problems in (1, PROBLEMS)
        )
        return line(alone, together, PROBLEMS)

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:  # noqa: ARG002 - a Tuner
        """Never called: a simulated GPU has no segments."""
        raise AssertionError
