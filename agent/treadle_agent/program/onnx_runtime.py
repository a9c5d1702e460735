"""ONNX Runtime as treadle uses it: quiet sessions on one thread, and errors that a model's owner can read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import ModelProto

from treadle_agent.program.errors import ModelError
from treadle_agent.program.ops.registry import Array

Level = ort.GraphOptimizationLevel
ort.set_default_logger_severity(4)  # errors come as exceptions

# They look at the values of weights, so that tenants of one architecture would get different graphs: a bias that is
# all zeros in one of them, two scalars that happen to be equal in another.
VALUE_DEPENDENT_OPTIMIZERS = ("NoopElimination", "ConstantSharing")


def session_options(level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    """Options of a quiet session on one thread: the scheduler, not ONNX Runtime, decides what runs beside it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def open_session(
    model: bytes | str, options: ort.SessionOptions, disabled_optimizers: Sequence[str] = ()
) -> ort.InferenceSession:
    """A session of a model's bytes or path; raises ModelError with ONNX Runtime's reason."""
    try:
        return ort.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled_optimizers)
        )
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelError(f"ONNX Runtime refuses the model: {' '.join(str(error).split())[:600]}") from error


def run(session: ort.InferenceSession, feeds: Mapping[str, Array]) -> list[Array]:
    """All outputs in their order; raises ModelError with ONNX Runtime's reason."""
    try:
        return list(session.run(None, dict(feeds)))
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelError(f"ONNX Runtime cannot run the model: {' '.join(str(error).split())[:400]}") from error


def optimise(model: ModelProto) -> ModelProto:
    """`model` after ONNX Runtime's offline basic optimisation; raises ModelError when ONNX Runtime refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = session_options(Level.ORT_ENABLE_BASIC)
        options.optimized_model_filepath = str(path)
        open_session(model.SerializeToString(), options, disabled_optimizers=VALUE_DEPENDENT_OPTIMIZERS)
        return onnx.load_model(path)
