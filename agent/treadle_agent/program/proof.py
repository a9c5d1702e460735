"""Proof of meaning: what treadle would run is compared with ONNX Runtime on seeded random inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnxruntime as ort

from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.errors import ModelError
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.lowering import Lowered
from treadle_agent.program.model import Shape
from treadle_agent.program.onnx_runtime import run
from treadle_agent.program.ops.registry import Array

SEEDS = (0, 1, 2)
ROWS = 3
RELATIVE, ABSOLUTE = 1e-3, 1e-4
ROWS_RELATIVE = 1e-5


def trials(inputs: Sequence[TensorSpec], shapes: Mapping[str, Shape]) -> Iterator[dict[str, Array]]:
    """Seeded random inputs of the bound shapes; integers are small, since many are indices."""
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        yield {one.name: _random(generator, one, shapes[one.name]) for one in inputs}


def disagreement(
    lowered: Lowered, session: ort.InferenceSession, inputs: Sequence[TensorSpec], shapes: Mapping[str, Shape]
) -> str:
    """How the kernels' outputs differ from ONNX Runtime's, or "" where they agree (rtol 1e-3, atol 1e-4)."""
    interpreter = Interpreter(lowered.program, lowered.weights)
    names = [one.name for one in session.get_outputs()]
    for feeds in trials(inputs, shapes):
        expected = dict(zip(names, run(session, feeds), strict=True))
        with np.errstate(all="ignore"):
            results = interpreter.run(feeds)
        for name, want in expected.items():
            got = results[name]
            if got.shape != want.shape or got.dtype != want.dtype:
                return f"output {name} is {got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
            if not np.allclose(got, want, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
                worst = np.nanmax(np.abs(got.astype(np.float64) - want.astype(np.float64)))
                return f"output {name} differs from ONNX Runtime's by up to {worst:.3g} on random inputs"
    return ""


def rows_are_independent(
    session: ort.InferenceSession, inputs: Sequence[TensorSpec], shapes: Mapping[str, Shape]
) -> bool:
    """Whether several rows run together give what each gives apart (rtol 1e-5 of an output's largest value)."""
    many = {name: (ROWS, *shape[1:]) for name, shape in shapes.items()}
    for feeds in trials(inputs, many):
        try:
            together = run(session, feeds)
            apart = [run(session, {name: value[row : row + 1] for name, value in feeds.items()}) for row in range(ROWS)]
        except ModelError:
            return False
        for index, whole in enumerate(together):
            rows = [one[index] for one in apart]
            if whole.shape[:1] != (ROWS,) or any(row.shape[:1] != (1,) for row in rows):
                return False
            joined = np.concatenate(rows)
            largest = float(np.max(np.abs(joined), initial=0.0, where=np.isfinite(joined)))
            if joined.shape != whole.shape or not np.allclose(
                whole, joined, rtol=ROWS_RELATIVE, atol=ROWS_RELATIVE * largest, equal_nan=True
            ):
                return False
    return True


def _random(generator: np.random.Generator, spec: TensorSpec, shape: Shape) -> Array:
    match spec.dtype:
        case "float32":
            return generator.standard_normal(shape, dtype=np.float32)
        case "bool":
            return generator.integers(0, 2, shape).astype(np.bool_)
        case _:
            return generator.integers(0, 2, shape).astype(spec.dtype)
