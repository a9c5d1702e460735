"""What is proved of a model before its kernels may run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from treadle_agent.program import compiler
from treadle_agent.program.artifact import ROW_COUNTS, read_program, read_refused
from treadle_agent.program.compiler import Compiler
from treadle_agent.program.errors import ModelError
from treadle_agent.program.limits import Limits
from treadle_agent.program.onnx_import import Source
from treadle_agent.program.ops import registry

Read = Callable[..., Source]
RELU = "g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }"


def test_a_kernel_that_disagrees_with_onnx_runtime_may_not_run(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absolute(attributes: object, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], object]:
        return lambda: np.abs(inputs[0], out=outputs[0])

    monkeypatch.setitem(registry.BIND, "Relu", absolute)
    compiled = Compiler(read(RELU), tmp_path, Limits()).compile([{"x": (2, 4)}])
    assert "output y differs from ONNX Runtime's by up to" in compiled.refused
    for key in ("x=1x4", "x=2x4"):
        assert read_program(tmp_path, key) is None
        refused = read_refused(tmp_path, key)
        assert refused is not None
        assert refused.reason == compiled.refused


def test_a_kernel_that_fails_or_leaves_elements_unwritten_may_not_run(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for launch, reason in ((lambda: 1 / 0, "ZeroDivisionError"), (lambda: None, "differs")):
        monkeypatch.setitem(registry.BIND, "Relu", lambda *_, launch=launch: launch)
        assert reason in Compiler(read(RELU), tmp_path, Limits()).compile([]).refused


def test_a_launch_bound_model_gets_its_batches(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "LAUNCH_BOUND_SECONDS", 1.0)
    compiled = Compiler(read(RELU), tmp_path, Limits()).compile([])
    assert compiled.batchable
    assert all(read_program(tmp_path, f"x={rows}x4") for rows in ROW_COUNTS)


@pytest.mark.parametrize(
    "body", ["y = Softmax<axis = 0>(x)", "m = ReduceMax<axes = [0], keepdims = 1>(x)\n y = Sub(x, m)"]
)
def test_rows_that_see_each_other_are_not_batchable(read: Read, tmp_path: Path, body: str) -> None:
    source = read(f"g (float[N, 4] x) => (float[N, 4] y) {{ {body} }}", opset=13)
    assert source.rows
    assert not Compiler(source, tmp_path, Limits()).compile([]).batchable


def test_weights_that_a_binding_lacks_refuse_its_kernels_only(read: Read, tmp_path: Path) -> None:
    text = """g (float[N, 3] x) => (float[N, 3] y) {
      shape = Shape(x)
      start = Expand(learned, shape)
      e = Exp(start)
      y = Add(x, e)
    }"""
    learned = np.random.default_rng(0).standard_normal((1, 3), dtype=np.float32)
    made = Compiler(read(text, {"learned": learned}), tmp_path, Limits())
    compiled = made.compile([])
    assert compiled.refused == ""
    assert "from its weights" in made.bind({"x": (64, 3)}, compiled.weights)
    refused = read_refused(tmp_path, "x=64x3")
    assert refused is not None
    assert refused.program.values[refused.program.outputs[0].value].shape == (64, 3)
    assert read_program(tmp_path, "x=64x3") is None


def test_indices_are_found_by_trying(read: Read, tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((20, 3), dtype=np.float32)
    text = "g (int64[N, 5] x) => (float[N, 5, 3] y) { y = Gather(table, x) }"
    assert Compiler(read(text, {"table": table}), tmp_path, Limits()).compile([]).refused == ""


def test_sizes_are_found_by_trying(read: Read, tmp_path: Path) -> None:
    text = "g (float[N, W] x) => (float[N, 2] y) { y = MatMul(x, w) }"
    compiled = Compiler(read(text, {"w": np.ones((48, 2), np.float32)}), tmp_path, Limits()).compile([])
    assert compiled.architecture == ""
    assert read_program(tmp_path, "x=1x48") is not None
    with pytest.raises(ModelError, match="none of the sizes"):
        Compiler(read(text, {"w": np.ones((49, 2), np.float32)}), tmp_path, Limits()).compile([])
    compiled = Compiler(read(text, {"w": np.ones((49, 2), np.float32)}), tmp_path, Limits()).compile([{"x": (1, 49)}])
    assert compiled.refused == ""
