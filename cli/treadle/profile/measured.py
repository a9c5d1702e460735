"""What a program's kernels take on this machine's processor, alone and merged, on memory of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from treadle.profile.models import Model
from treadle.profile.report import KernelRow
from treadle.profile.tuned import ENOUGH, kept
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Slab
from treadle_agent.executor.super_kernel import MergedProgram, ignore_warnings, run, signature
from treadle_agent.executor.tuner import PROBLEMS, HostTuner, merging_wins
from treadle_agent.program.model import TensorType

COUNTS = (1, 2, 4, 8)
ROUNDS = 5


def rows(model: Model) -> Iterator[KernelRow]:
    """One row for each distinct signature, in order of first use; implementation: what the tuner would choose."""
    ignore_warnings()
    program, artifact = model.program, model.artifact
    slab = Slab(artifact.weights, artifact.weight_bytes)
    weights = model.folder / "weights.bin"
    rows_of_weights = [slab.acquire(str(number), weights) for number in range(max(COUNTS))]
    merged = MergedProgram(program, slab)
    each = {count: [seconds / count for seconds in _fastest(merged, rows_of_weights[:count])] for count in COUNTS}
    implementation = _chosen(model, slab)
    found: dict[str, list[int]] = {}
    for index, kernel in enumerate(program.kernels):
        found.setdefault(signature(program, kernel), []).append(index)
    for text, indices in found.items():
        mean = {count: sum(each[count][index] for index in indices) / len(indices) for count in COUNTS}
        problems = next(count for count in COUNTS if mean[count] <= ENOUGH * min(mean.values()))
        yield KernelRow(
            model=model.name, signature=text, count=len(indices), implementation=implementation, greedy_tile="–",
            collaborative_tile="–", problems=problems, alone_seconds=mean[1], shared_seconds=mean[problems],
        )  # fmt: skip


def _fastest(merged: MergedProgram, rows: Sequence[int]) -> list[float]:
    plan = merged.compose(merged.place(rows))
    rounds = [run(plan, 0, merged.length, time.perf_counter) for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _chosen(model: Model, slab: Slab) -> str:
    """Merged kernels or segments, for eight tenants, as the tuner finds or has found."""
    tuner = kept(HostTuner())
    types = tuple(_type(model, index) for index in range(len(model.artifact.inputs)))
    segments = tuner.segments(SegmentChain(model.folder, model.artifact), types)
    if model.artifact.kernels_refused:
        return "segments"
    merged = tuner.merged(model.program, slab, model.folder / "weights.bin")
    return "merged" if merging_wins(merged, segments, PROBLEMS) else "segments"


def _type(model: Model, index: int) -> TensorType:
    name = model.artifact.inputs[index].name
    port = next(port for port in model.program.inputs if port.name == name)
    return model.program.values[port.value]
