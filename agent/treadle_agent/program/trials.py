"""Seeded random inputs that a model runs on, found by trying: nobody says what its integers and sizes mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.errors import ModelError
from treadle_agent.program.model import Shape
from treadle_agent.program.onnx_import import FREE, Source
from treadle_agent.program.onnx_runtime import run
from treadle_agent.program.ops.registry import Array

SEEDS = (0, 1, 2)
# Integers below these: bytes or token numbers at best, indices of something small, or nothing but zeros.
INTEGERS_BELOW = (256, 16, 2, 1)
# Sizes tried for free dimensions other than rows, to see the model run before anybody names a shape.
SIZES = (32, 48, 64, 224, 16, 8, 128, 1)
TYPICAL_SIZE = 320


@dataclass(frozen=True, slots=True)
class Trial:
    """Shapes of all inputs, and the bound of random integers, that ONNX Runtime runs a model with."""

    inputs: tuple[TensorSpec, ...]
    shapes: Mapping[str, Shape]
    below: int

    def feeds(self, rows: int = 0) -> Iterator[dict[str, Array]]:
        """Inputs for each seed; `rows` replaces dimension 0 where it is not 0."""
        for seed in SEEDS:
            generator = np.random.default_rng(seed)
            yield {one.name: self._random(generator, one, rows) for one in self.inputs}

    def _random(self, generator: np.random.Generator, spec: TensorSpec, rows: int) -> Array:
        shape = self.shapes[spec.name]
        shape = (rows, *shape[1:]) if rows else shape
        if spec.dtype == "float32":
            return generator.standard_normal(shape, dtype=np.float32)
        return generator.integers(0, 2 if spec.dtype == "bool" else self.below, shape).astype(spec.dtype)


def find(source: Source, session: ort.InferenceSession, bindings: Sequence[Mapping[str, Shape]]) -> Trial:
    """The trial that a model is proved with: one row, else the first binding or sizes that ONNX Runtime runs.

    Raises ModelError when it runs with none.
    """
    static = source.static()
    if static is not None:
        return at(source, session, static)
    found = _first(source, session, [*bindings, *(source.shapes(size) for size in SIZES)])
    if found is None:
        raise ModelError(
            "the model has free dimensions, and ONNX Runtime runs it with none of the sizes "
            f"{', '.join(map(str, SIZES))}: fix the dimensions that have one right size"
        )
    return found


def at(source: Source, session: ort.InferenceSession, shapes: Mapping[str, Shape]) -> Trial:
    """The trial with these shapes; raises ModelError when ONNX Runtime does not run them."""
    found = _first(source, session, [shapes])
    if found is None:
        for feeds in Trial(source.inputs, shapes, 1).feeds():
            run(session, feeds)
        raise ModelError("ONNX Runtime runs the model on some random inputs and not on others")
    return found


def typical(source: Source, session: ort.InferenceSession, trial: Trial) -> dict[str, Array]:
    """Inputs to time the model with: the trial's, each free dimension as large as a typical one where it may be."""
    for one in source.inputs:
        for axis, dim in enumerate(one.shape):
            if dim == FREE and not (source.rows and axis == 0):
                shape = trial.shapes[one.name]
                larger = (*shape[:axis], max(TYPICAL_SIZE, shape[axis]), *shape[axis + 1 :])
                trial = _first(source, session, [{**trial.shapes, one.name: larger}]) or trial
    return next(trial.feeds())


def _first(source: Source, session: ort.InferenceSession, candidates: Iterable[Mapping[str, Shape]]) -> Trial | None:
    integers = any(one.dtype != "float32" for one in source.inputs)
    for shapes in candidates:
        for below in INTEGERS_BELOW if integers else INTEGERS_BELOW[:1]:
            trial = Trial(source.inputs, shapes, below)
            if _runs(session, trial):
                return trial
    return None


def _runs(session: ort.InferenceSession, trial: Trial) -> bool:
    try:
        for feeds in trial.feeds():
            run(session, feeds)
    except (ModelError, KeyError):
        return False
    return True
