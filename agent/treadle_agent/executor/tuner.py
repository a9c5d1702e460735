"""Which implementation serves an architecture here: measured at load, not guessed.

A launch-bound model gains from merged kernels, a compute-bound one from ONNX Runtime's segments. Both are run on this
machine, alone and with several tenants' worth of distinct weights up to as many as a launch takes, and the cheaper one
for the number of tenants present wins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Slab, Weights
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.super_kernel import MergedProgram, run
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.latency import Correction, CostModel, interpolate
from treadle_agent.program.artifact import LAUNCH_BOUND_SECONDS, WeightEntry
from treadle_agent.program.model import Program, TensorType
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.processor import processor
from treadle_api.tenant import Precision

PROBLEMS = 8  # merged in a trial at least
MOST_PROBLEMS = WorkerSettings().max_problems  # in a launch
MEASURED = (1, 2, PROBLEMS, 32, MOST_PROBLEMS)  # lines between these err by less than a fifth on the simulated GPUs
BUDGET = 0.05  # seconds for one measurement
REPEATS = 5
LOSS = 0.05  # of speed, that merging where it has once won may cost
LARGEST_TRIAL = 64 << 20  # bytes of weights in a trial; where PROBLEMS tenants have more, nothing is merged


@dataclass(frozen=True, slots=True)
class Profile:
    """A measured executable: the seconds of several requests, and the share of the time after each kernel.

    `points`: numbers of requests, ascending from 1, and the seconds of so many: merged in one launch, or through
    segments one after another, each of another tenant. `library`: the kernels (by number) that were fastest when the
    device's library of products computed them. `tiles`: of the device's own kernels (by number) the names of the tiles
    that were fastest alone, and with `PROBLEMS` merged. `provisional`: there was no memory to try more now; it is not
    kept, so that it is tried again.
    """

    points: tuple[tuple[int, float], ...]
    shares: tuple[float, ...]
    library: tuple[int, ...] = ()
    tiles: tuple[tuple[int, str, str], ...] = ()
    provisional: bool = False

    @property
    def most(self) -> int:
        """The largest number of requests that was measured."""
        return self.points[-1][0]

    def cost(self, correction: Correction) -> CostModel:
        """A cost model that starts from this profile."""
        return CostModel(self.points, correction)

    def per_request(self, requests: int) -> float:
        """Seconds of the device that one of so many requests takes."""
        return interpolate(self.points, requests) / requests

    def launch_in_problems(self) -> float:
        """How many more problems in a launch cost as much as one more launch; infinite where they cost nothing."""
        alone, both = (interpolate(self.points, problems) for problems in (1, 2))
        return max(2.0 * alone - both, 0.0) / (both - alone) if both > alone else math.inf


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

    def begin(self) -> None:
        """What the loading thread does first; all below are called by it."""

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

    def begin(self) -> None:
        """Nothing: the system shares the processor between threads."""

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
        return MergedProgram(program, slab, profile.launch_in_problems(), self.plans)


class HostTuner(HostMemory):
    """Runs both on this machine."""

    runs_segments = True

    @property
    def identity(self) -> tuple[str, ...]:
        """The processor, and what computes on it."""
        return ("host", processor(), *(f"{name} {version(name)}" for name in ("treadle", "numpy", "onnxruntime")))

    def merged(self, program: Program, slab: Weights, weights: Path) -> Profile | None:
        """Time merged kernels on memory of their own; None where eight tenants' weights are too many to try.

        Up to as many problems as a launch takes, their weights have room for and a run in `BUDGET` has time for.
        """
        if slab.row_bytes * PROBLEMS > LARGEST_TRIAL:
            return None
        trial = Slab(slab.entries, slab.row_bytes)
        merged = MergedProgram(program, trial)
        rows: list[int] = []

        def seconds(problems: int) -> list[float]:
            rows.extend(trial.acquire(str(index), weights) for index in range(len(rows), problems))
            plan = merged.compose(merged.place(rows[:problems]))
            return fastest(partial(run, plan, 0, merged.length, time.perf_counter))

        return profile_up_to(LARGEST_TRIAL // max(slab.row_bytes, 1), seconds)

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:
        """Time a chain on zeros: again and again, and where it is short also as when other tenants' weights were used
        since, which may take the caches.
        """
        inputs = dict(zip(chain.inputs, (np.zeros(type_.shape, type_.dtype) for type_ in types), strict=True))
        others = np.ones(0, np.uint8)

        def once() -> list[float]:
            others.max(initial=0)
            tensors: dict[str, Array] = dict(inputs)
            return chain.run(tensors, 0, chain.length, time.perf_counter)

        durations = fastest(once)
        points = [(1, sum(durations))]
        for tenants in (PROBLEMS, MOST_PROBLEMS) if sum(durations) <= LAUNCH_BOUND_SECONDS else ():
            others = np.ones(min((tenants - 1) * chain.weight_bytes, LARGEST_TRIAL), np.uint8)
            points.append((tenants, tenants * max(sum(fastest(once)), points[0][1])))
        return Profile(tuple(points), _shares(durations))


def merging_wins(merged: Profile | None, segments: Profile | None, tenants: int) -> bool:
    """Whether merged kernels serve `tenants` tenants of an architecture with less device time than segments.

    More than were measured are judged as the most that were. None: cannot run so on this device.
    """
    if merged is None or segments is None:
        return merged is not None
    requests = max(1, min(tenants, merged.most))
    return merged.per_request(requests) <= segments.per_request(requests)


def merging_is_over(merged: Profile | None, segments: Profile | None, tenants: int) -> bool:
    """Whether merged kernels lose for `tenants` tenants and for every larger number that was measured.

    By more than `LOSS`: what is measured errs, and to turn back is for good.
    """
    if merged is None or segments is None:
        return merged is None
    requests = max(1, min(tenants, merged.most))
    numbers = [requests, *(number for number, _ in merged.points if number > requests)]
    return all((1.0 - LOSS) * merged.per_request(number) > segments.per_request(number) for number in numbers)


def fastest(once: Callable[[], list[float]], budget: float = BUDGET) -> list[float]:
    """Element-wise fastest of a few runs after a warm-up: what the machine does when nothing else disturbs it."""
    once()
    best = once()
    started = time.perf_counter()
    for _ in range(REPEATS):
        if time.perf_counter() - started > budget:
            break
        best = [min(pair) for pair in zip(best, once(), strict=True)]
    return best


def profile_up_to(most: int, seconds: Callable[[int], Sequence[float]]) -> Profile:
    """The profile of a program whose kernels take `seconds`, each, of so many problems merged.

    Measured for `PROBLEMS`, and for more up to `most` while a run would not take longer than `BUDGET`.
    """
    measured: dict[int, Sequence[float]] = {}
    for problems in MEASURED:
        if problems > PROBLEMS and (problems > most or problems / PROBLEMS * sum(measured[PROBLEMS]) > BUDGET):
            break
        measured[problems] = seconds(problems)
    return profile(measured)


def profile(measured: Mapping[int, Sequence[float]]) -> Profile:
    """The profile of measurements, of each kernel's seconds, by the number of problems merged: `PROBLEMS` among them.

    Ascending from 1. More problems never take less time: where they seem to, others have disturbed the machine.
    """
    seconds = accumulate(map(sum, measured.values()), max)
    return Profile(tuple(zip(measured, seconds, strict=True)), _shares(measured[PROBLEMS]))


def provisional(seconds: Sequence[float]) -> Profile:
    """The profile of a program of which no more is known than what its kernels take, each, of one problem."""
    return Profile(((1, sum(seconds)),), _shares(seconds), provisional=True)


def _shares(durations: Sequence[float]) -> tuple[float, ...]:
    total = sum(durations) or 1.0
    shares = [0.0]
    for seconds in durations:
        shares.append(shares[-1] + seconds / total)
    shares[-1] = 1.0
    return tuple(shares)
