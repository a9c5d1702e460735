"""What programs cost on the GPU: measured, with the fastest implementation and tile of each product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from treadle_agent.executor.cuda.choice import Choices
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.graphs import Recorder, Replay
from treadle_agent.executor.cuda.lowering import runs
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.trial import Trial
from treadle_agent.executor.precision import FIRST_WITH_TF32
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Weights
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuner import Profile
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Program, TensorType
from treadle_api.tenant import Precision


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
        """A program with the implementations and tiles that measured fastest."""
        assert isinstance(slab, GpuSlab)
        replay = Replay(profile.shares, self._recorder.put)
        choices = Choices.named(profile.library, profile.tiles)
        return GpuProgram(self._gpu, program, slab, capacity, choices, self.plans, replay)

    def launches(self, program: Program) -> int:
        """Element-wise runs are fused."""
        return len(runs(program))

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """Time a program alone and merged, on memory of its own that is given back afterwards.

        Where the device is so full that there is none for that, alone and by the rule: the model itself may find room.

        Raises:
            UnsupportedOnGpuError: it holds kernels that cannot run here.
            PrecisionError: float16 cannot hold its weights.
        """
        assert isinstance(slab, GpuSlab)
        try:
            return self._tried(program, slab, weights)
        except MemoryError:  # CuPy's
            pass  # what the trial held is freed now
        return Trial(self._gpu, program, slab, weights, problems=1).alone()

    def _tried(self, program: Program, slab: GpuSlab, weights: Path) -> Profile:
        trial = Trial(self._gpu, program, slab, weights)
        choices = trial.choices()
        tiles = ((kernel, greedy.name, merged.name) for kernel, (greedy, merged) in choices.tiles.items())
        return replace(trial.profile(choices), library=tuple(sorted(choices.library)), tiles=tuple(tiles))

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:  # noqa: ARG002 - a Tuner
        """Never called: a GPU has no segments."""
        raise AssertionError
