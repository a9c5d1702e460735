"""A tuner whose measurements are kept: what a cache knows is not measured again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Weights
from treadle_agent.executor.tuner import Profile, Tuner
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Program, TensorType
from treadle_api.tenant import Precision


class KeptTuner:
    """Asks `cache` before `tuner`. Models that differ in weights only share their measurements, as tenants do."""

    def __init__(self, tuner: Tuner, cache: TuningCache) -> None:
        self._tuner = tuner
        self._cache = cache
        self.runs_segments = tuner.runs_segments
        self.plans = tuner.plans

    @property
    def identity(self) -> tuple[str, ...]:
        """The inner tuner's."""
        return self._tuner.identity

    def begin(self) -> None:
        """The inner tuner's."""
        self._tuner.begin()

    def refuses(self, precision: Precision) -> str:
        """The inner tuner's."""
        return self._tuner.refuses(precision)

    def slab(self, entries: Sequence[WeightEntry], row_bytes: int, precision: Precision) -> Weights:
        """Room for the weights of an architecture."""
        return self._tuner.slab(entries, row_bytes, precision)

    def body(self, program: Program, slab: Weights, capacity: int, profile: Profile) -> object:
        """A program, as the device runs it."""
        return self._tuner.body(program, slab, capacity, profile)

    def launches(self, program: Program) -> int:
        """The inner tuner's."""
        return self._tuner.launches(program)

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """The profile of a program's kernels, merged."""
        what = ("merged", program.architecture, str(slab.row_bytes), slab.precision)
        return self._cache.recall(what, self.launches(program), partial(self._tuner.merged, program, slab, weights))

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:
        """The profile of a chain; chains of one architecture that are cut alike cost alike."""
        shapes = (f"{one.dtype} {'x'.join(map(str, one.shape))}" for one in types)
        what = ("segments", chain.digest, str(chain.length), *shapes)
        profile = self._cache.recall(what, chain.length, partial(self._tuner.segments, chain, types))
        assert profile is not None, "segments are always measured"
        return profile
