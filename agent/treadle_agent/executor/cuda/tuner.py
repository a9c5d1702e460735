"""What programs cost on the GPU: measured with events, each product by own kernels and by cuBLAS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from treadle_agent.executor.cuda.device import timed
from treadle_agent.executor.cuda.gpu import FIRST_WITH_TF32, Gpu
from treadle_agent.executor.cuda.graphs import Recorder, Replay
from treadle_agent.executor.cuda.lowering import runs
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Weights
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuner import PROBLEMS, Profile, line
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Program, TensorType
from treadle_api.tenant import Precision

REPEATS = 5


class GpuTuner:
    """Measures on the loading thread's stream, beside the launches of the dispatch thread."""

    runs_segments = False

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._recorder = Recorder()
        self.plans = Lookups()

    @property
    def identity(self) -> tuple[str, ...]:
        """The GPU, and what computes on it."""
        return ("cuda", *self._gpu.identity, f"treadle {version('treadle')}")

    def begin(self) -> None:
        """Copies of weights, and trials, give way to launches."""
        self._gpu.be_patient()

    def refuses(self, precision: Precision) -> str:
        """TF32 came with Ampere."""
        if precision is not Precision.TF32 or self._gpu.capability >= FIRST_WITH_TF32:
            return ""
        has, needs = (".".join(map(str, one)) for one in (self._gpu.capability, FIRST_WITH_TF32))
        return f"has compute capability {has}, and TF32 begins at {needs}: set precision Float32 or Float16"

    def slab(self, entries: Sequence[WeightEntry], row_bytes: int, precision: Precision) -> GpuSlab:
        """A slab of device memory."""
        return GpuSlab(self._gpu, entries, row_bytes, precision)

    def body(self, program: Program, slab: Weights, capacity: int, profile: Profile) -> GpuProgram:
        """A program with the implementations that measured fastest."""
        assert isinstance(slab, GpuSlab)
        replay = Replay(profile.shares, self._recorder.put)
        return GpuProgram(self._gpu, program, slab, capacity, frozenset(profile.library), self.plans, replay)

    def launches(self, program: Program) -> int:
        """Element-wise runs are fused."""
        return len(runs(program))

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """Time a program alone and merged, on memory of its own that is given back afterwards.

        Raises:
            UnsupportedOnGpuError: it holds kernels that cannot run here.
            PrecisionError: float16 cannot hold its weights.
        """
        assert isinstance(slab, GpuSlab)
        trial = slab.like()
        rows = [trial.acquire(str(index), weights) for index in range(PROBLEMS)]
        own = GpuProgram(self._gpu, program, trial, PROBLEMS)
        alone, together = self._measure(own, rows[:1]), self._measure(own, rows)
        better: list[int] = []
        if own.library_products():
            rival = GpuProgram(self._gpu, program, trial, PROBLEMS, own.library_products())
            rival_together = self._measure(rival, rows)
            better = [index for index in sorted(own.library_products()) if rival_together[index] < together[index]]
            rival_alone = self._measure(rival, rows[:1])
            for index in better:
                alone[index], together[index] = rival_alone[index], rival_together[index]
        return replace(line(alone, together, PROBLEMS), library=tuple(better))

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:  # noqa: ARG002 - a Tuner
        """Never called: a GPU has no segments."""
        raise AssertionError

    def _measure(self, body: GpuProgram, rows: Sequence[int]) -> list[float]:
        """Fastest of a few runs of each kernel, after a warm-up."""
        with self._gpu.stream() as stream:
            bound = body.compose(list(enumerate(rows)), stream)
            timed(self._gpu, bound, 0, body.length, stream)
            runs = [timed(self._gpu, bound, 0, body.length, stream) for _ in range(REPEATS)]
        return [min(each) for each in zip(*runs, strict=True)]
