"""Proof of meaning: what treadle would run is compared with ONNX Runtime on seeded random inputs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import onnxruntime as ort

from treadle_agent.program.errors import ModelError
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.model import Program
from treadle_agent.program.onnx_runtime import run
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.trials import Trial

ROWS = 3
RELATIVE, ABSOLUTE = 1e-3, 1e-4
ROWS_RELATIVE = 1e-5


def disagreement(program: Program, weights: Sequence[Array], session: ort.InferenceSession, trial: Trial) -> str:
    """How the kernels' outputs differ from ONNX Runtime's, or "" where they agree (rtol 1e-3, atol 1e-4)."""
    # As the executor will read it: what JSON cannot carry must show here.
    program = msgspec.json.decode(msgspec.json.encode(program), type=Program)
    names = [one.name for one in session.get_outputs()]
    for feeds in trial.feeds():
        expected = dict(zip(names, run(session, feeds), strict=True))
        try:
            with np.errstate(all="ignore"):
                results = Interpreter(program, weights).run(feeds)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # a kernel's fault, whatever it raises, refuses the kernels
            return f"the kernels fail: {type(error).__name__}: {error}"
        for name, want in expected.items():
            got = results[name]
            if got.shape != want.shape or got.dtype != want.dtype:
                return f"output {name} is {got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
            if not np.allclose(got, want, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
                worst = np.nanmax(np.abs(got.astype(np.float64) - want.astype(np.float64)))
                return f"output {name} differs from ONNX Runtime's by up to {worst:.3g} on random inputs"
    return ""


def rows_are_independent(session: ort.InferenceSession, trial: Trial) -> bool:
    """Whether several rows run together give what each gives apart (rtol 1e-5 of an output's largest value)."""
    for feeds in trial.feeds(ROWS):
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
