"""A model that takes for ever to compile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A valid model that computes for as long as it is let: ONNX Runtime spins inside its first run."""
    scalar = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("c", 9), ("v", 1))]
    given = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("c_out", 9), ("v_out", 1))]
    inner = [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Exp", ["v"], ["v_out"])]
    known = [
        numpy_helper.from_array(np.array((1 << 62), np.int64), "trips"),
        numpy_helper.from_array(np.array(True), "true"),
        numpy_helper.from_array(np.array(0.0, np.float32), "start"),
    ]
    nodes = [
        helper.make_node(
            "Loop", ["trips", "true", "start"], ["end"], body=helper.make_graph(inner, "body", scalar, given)
        ),
        helper.make_node("Add", ["x", "end"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], known)
    path = tmp_path / "endless.onnx"
    onnx.save_model(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
