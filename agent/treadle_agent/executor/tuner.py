"""Which implementation serves an architecture here: measured at load, not guessed.

A launch-bound model gains from merged kernels, a compute-bound one from ONNX Runtime's segments. Both are run on this
machine, merged kernels alone and with several tenants' worth of distinct weights, and the cheaper one for the number
of tenants present wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from treadle_agent.executor.banks import LARGEST_PADDING
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Slab, Weights
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.super_kernel import MergedProgram, run
from treadle_agent.policy.latency import Correction, CostModel
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Program, TensorType
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.processor import processor
from treadle_api.tenant import Precision

PROBLEMS = 8  # merged in the second measurement
BUDGET = 0.05  # seconds for one measurement
REPEATS = 5
LARGEST_TRIAL = 64 << 20  # bytes of weights that PROBLEMS tenants may take in the trial; beyond it nothing is merged


@dataclass(frozen=True, slots=True)
class Profile:
    """A measured executable: its line in the number of problems, and the share of the time after each kernel.

    `library`: the kernels (by number) that were fastest when the device's library of products computed them.
    """

    fixed: float
    per_problem: float
    shares: tuple[float, ...]
    library: tuple[int, ...] = ()

    def cost(self, correction: Correction) -> CostModel:
        """A cost model that starts from this profile."""
        return CostModel(self.fixed, self.per_problem, correction)

    def per_request(self, problems: int) -> float:
        """Seconds of the device that one of `problems` merged problems takes."""
        return self.fixed / problems + self.per_problem


class Tuner(Protocol):
    """Measures, or works out, what executables cost on a device, and makes them there.

    `identity`: what measurements here depend on besides the model; empty where nothing is measured. `plans`: how often
    the programs that it made had launches bound before.
    """

    runs_segments: bool
    plans: Lookups

    @property
    def identity(self) -> tuple[str, ...]:
        """The device and the versions of what runs there."""

    def refuses(self, precision: Precision) -> str:
        """Why this device does not compute at a precision, and the fix; "" where it does."""

    def slab(self, entries: Sequence[WeightEntry], row_bytes: int, precision: Precision) -> Weights:
        """Room for the weights of an architecture, which are computed with at `precision`, as `refuses` allows."""

    def body(self, program: Program, slab: Weights, capacity: int, profile: Profile) -> object:
        """A program with an arena of `capacity` slots, as the device runs it and as `profile` found it fastest."""

    def launches(self, program: Program) -> int:
        """How many launches a program is on this device: so many shares a profile tells."""

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """The profile of a program's launches, merged; None where merging is not worth a trial."""

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:
        """The profile of a chain for these input types, rows included. Called where `runs_segments` only."""


class HostMemory:
    """Makes what runs on the host."""

    def __init__(self) -> None:
        self.plans = Lookups()

    def refuses(self, precision: Precision) -> str:
        """Kernels of the host are float32 alone."""
        if precision is Precision.FLOAT32:
            return ""
        return "computes float32 only: set precision Float32, or serve the tier on a GPU (--device cuda)"

    def slab(self, entries: Sequence[WeightEntry], row_bytes: int, precision: Precision) -> Weights:
        """Room for weights in the host's memory."""
        assert precision is Precision.FLOAT32
        return Slab(entries, row_bytes)

    def launches(self, program: Program) -> int:
        """One for each kernel."""
        return len(program.kernels)

    def body(self, program: Program, slab: Weights, capacity: int, profile: Profile) -> object:  # noqa: ARG002 - a Tuner
        """A program over the host's memory."""
        assert isinstance(slab, Slab)
        padding = profile.fixed / profile.per_problem if profile.per_problem else LARGEST_PADDING
        return MergedProgram(program, slab, padding, self.plans)


class HostTuner(HostMemory):
    """Runs both on this machine."""

    runs_segments = True

    @property
    def identity(self) -> tuple[str, ...]:
        """The processor, and what computes on it."""
        return ("host", processor(), *(f"{name} {version(name)}" for name in ("treadle", "numpy", "onnxruntime")))

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """Time merged kernels on memory of their own; None where eight tenants' weights are too many to try."""
        if slab.row_bytes * PROBLEMS > LARGEST_TRIAL:
            return None
        trial = Slab(slab.entries, slab.row_bytes)
        rows = [trial.acquire(str(index), weights) for index in range(PROBLEMS)]
        merged = MergedProgram(program, trial)
        plans = (merged.compose(merged.place(some)) for some in (rows[:1], rows))
        alone, together = (_fastest(partial(run, plan, 0, merged.length, time.perf_counter)) for plan in plans)
        return line(alone, together, PROBLEMS)

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:
        """Time a chain on zeros."""
        inputs = dict(zip(chain.inputs, (np.zeros(type_.shape, type_.dtype) for type_ in types), strict=True))

        def once() -> list[float]:
            tensors: dict[str, Array] = dict(inputs)
            return chain.run(tensors, 0, chain.length, time.perf_counter)

        durations = _fastest(once)
        return Profile(sum(durations), 0.0, _shares(durations))


def merging_wins(merged: Profile | None, segments: Profile | None, tenants: int) -> bool:
    """Whether merged kernels serve `tenants` tenants of an architecture with less device time than segments.

    None: cannot run so on this device.
    """
    if merged is None or segments is None:
        return merged is not None
    return merged.per_request(max(1, min(tenants, PROBLEMS))) <= segments.per_request(1)


def _fastest(once: Callable[[], list[float]]) -> list[float]:
    """Element-wise fastest of a few runs after a warm-up: what the machine does when nothing else disturbs it."""
    once()
    best = once()
    started = time.perf_counter()
    for _ in range(REPEATS):
        if time.perf_counter() - started > BUDGET:
            break
        best = [min(pair) for pair in zip(best, once(), strict=True)]
    return best


def line(alone: Sequence[float], together: Sequence[float], problems: int) -> Profile:
    """The profile through two measurements, of each kernel's seconds: one problem alone, `problems` merged."""
    one, many = sum(alone), sum(together)
    per_problem = max((many - one) / (problems - 1), many / problems * 0.05)
    return Profile(max(one - per_problem, 0.0), per_problem, _shares(together))


def _shares(durations: Sequence[float]) -> tuple[float, ...]:
    total = sum(durations) or 1.0
    shares = [0.0]
    for seconds in durations:
        shares.append(shares[-1] + seconds / total)
    shares[-1] = 1.0
    return tuple(shares)
