"""Each version of If from opset 11 on, through the whole import, against ONNX Runtime.

A branch is chosen before there are nodes, by a condition known at load: `test_versions.py` has none to compare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.defs
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from treadle_agent.program.binding import bind
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.limits import Limits
from treadle_agent.program.lowering import lower
from treadle_agent.program.onnx_import import read_model

OLDEST_OPSET, NEWEST_OPSET = 11, 28
VERSIONS = sorted(
    schema.since_version
    for schema in onnx.defs.get_all_schemas_with_history()
    if schema.domain == "" and schema.name == "If" and OLDEST_OPSET <= schema.since_version <= NEWEST_OPSET
)
DTYPES = ("float32", "int32", "int64", "uint8", "bool")
WIDTH = 4


def branch(name: str, dtype: str, *, swapped: bool) -> onnx.GraphProto:
    """Two results of the outer graph's x, which tell the branches apart."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    parts = [f"{name}_a", f"{name}_b"]
    return helper.make_graph(
        [
            helper.make_node("Concat", ["x", "w"] if swapped else ["w", "x"], [f"{name}_first"], axis=1),
            helper.make_node("Identity", [f"{name}_first"], [parts[0]]),
            helper.make_node("Transpose", ["x"], [parts[1]], perm=[0, 2, 1] if swapped else [0, 1, 2]),
        ],
        name,
        [],
        [
            helper.make_tensor_value_info(parts[0], kind, ["N", 2 * WIDTH, WIDTH]),
            helper.make_tensor_value_info(parts[1], kind, ["N", WIDTH, WIDTH]),
        ],
    )


def model(version: int, dtype: str, *, nested: bool) -> onnx.ModelProto:
    """y, z = If(x has WIDTH columns), with the condition computed from x's shape; `nested`: and again inside."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    yes, no = branch("yes", dtype, swapped=True), branch("no", dtype, swapped=False)
    if nested:
        inner = helper.make_node("If", ["never"], ["i_a", "i_b"], then_branch=no, else_branch=yes)
        outputs = [
            helper.make_tensor_value_info("i_a", kind, ["N", 2 * WIDTH, WIDTH]),
            helper.make_tensor_value_info("i_b", kind, ["N", WIDTH, WIDTH]),
        ]
        yes, no = helper.make_graph([inner], "outer", [], outputs), branch("other", dtype, swapped=False)
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "last"], ["columns"]),
            helper.make_node("Equal", ["columns", "width"], ["is_wide"]),
            helper.make_node("Not", ["is_wide"], ["never"]),
            helper.make_node("If", ["is_wide"], ["y", "z"], then_branch=yes, else_branch=no),
        ],
        "chosen",
        [helper.make_tensor_value_info("x", kind, ["N", WIDTH, WIDTH])],
        [
            helper.make_tensor_value_info("y", kind, ["N", 2 * WIDTH, WIDTH]),
            helper.make_tensor_value_info("z", kind, ["N", WIDTH, WIDTH]),
        ],
        [
            numpy_helper.from_array(np.array(2, np.int64), "last"),
            numpy_helper.from_array(np.array(WIDTH, np.int64), "width"),
            numpy_helper.from_array(numbers(dtype, 1), "w"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def numbers(dtype: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 100, (1, WIDTH, WIDTH)).astype(dtype)


def test_every_version_in_force_is_here() -> None:
    assert VERSIONS[0] == OLDEST_OPSET
    assert len(VERSIONS) >= 5


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_answers_what_onnx_runtime_answers(version: int, dtype: str, nested: bool, tmp_path: Path) -> None:
    made = model(version, dtype, nested=nested)
    onnx.save_model(made, tmp_path / "model.onnx")
    feeds = {"x": numbers(dtype, 2)}
    source = read_model(tmp_path / "model.onnx", Limits())
    shapes = source.static()
    assert shapes is not None
    lowered = lower(bind(source, shapes, Limits()))
    results = Interpreter(lowered.program, lowered.weights).run(feeds)
    assert "If" not in {kernel.op for kernel in lowered.program.kernels}
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for name, want in zip(("y", "z"), session.run(["y", "z"], feeds), strict=True):
        assert (results[name].dtype, results[name].shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(results[name], want)
