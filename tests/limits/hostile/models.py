"""ONNX models: one that does what it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hostile.tenants import WIDTH


def scale(factor: float) -> ModelProto:
    """y = factor · x."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        [numpy_helper.from_array(factor * np.eye(WIDTH, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write(path: Path, model: ModelProto) -> None:
    """Put it into the place of what is there, in one step."""
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(model.SerializeToString())
    draft.rename(path)
