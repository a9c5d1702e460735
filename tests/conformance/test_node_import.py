"""ONNX's node tests again, through the whole import: models of a few promised operators, and If, to a lowered program.

What does not reach lowering is listed in `left_out_import.toml`, each group with what the refusal says and why.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.numpy_helper import from_array

from treadle_agent.program.binding import bind
from treadle_agent.program.errors import ModelError
from treadle_agent.program.graph import since_version
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.limits import Limits
from treadle_agent.program.lowering import lower
from treadle_agent.program.onnx_import import read_model

HERE = Path(__file__).parent
Array = np.ndarray[Any, Any]
PROMISED = frozenset((HERE / "promised.txt").read_text().split()) | {"Constant"}
LEFT_OUT: Mapping[str, str] = {
    name: group["error"]
    for group in tomllib.loads((HERE / "left_out_import.toml").read_text())["node"]
    for name in group["tests"]
}


def _imported(case: Case, inputs: Sequence[Any], fixed: set[str], folder: Path) -> list[Array]:
    """The outputs of the case's model, its plumbing inputs made initializers."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    feeds = {value.name: given for value, given in zip(model.graph.input, inputs, strict=True)}
    for name in fixed:
        if isinstance(feeds[name], (np.ndarray, np.generic)):
            model.graph.initializer.append(from_array(np.asarray(feeds.pop(name)), name))
    _modernise(model)
    path = folder / "model.onnx"
    onnx.save_model(model, path)
    source = read_model(path, Limits())
    shapes = source.static()
    assert shapes is not None
    lowered = lower(bind(source, shapes, Limits()))
    with np.errstate(all="ignore"):
        results = Interpreter(lowered.program, lowered.weights).run(feeds)
    return [results[value.name] for value in model.graph.output]


def _modernise(model: onnx.ModelProto) -> None:
    """Say opset 11 where the model says an older one in which its operators were the same."""
    operators = [(node.domain, node.op_type) for node in model.graph.node]
    for entry in model.opset_import:
        if entry.version < 11 and all(
            since_version(*one, entry.version) == since_version(*one, 11) for one in operators
        ):
            entry.version = 11


@pytest.mark.parametrize("op", sorted(PROMISED))
def test_an_imported_model_answers_what_onnx_expects(
    op: str, onnx_cases: Mapping[str, Case], plumbing_of: Any, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Models of promised operators, by the operator of their last node."""
    cases = []
    for case in onnx_cases.values():
        operators = [node.op_type for node in case.model.graph.node]
        if operators[-1:] == [op] and PROMISED.issuperset(operators):
            cases.append(case)
    assert cases, "ONNX tests every operator"
    for case in cases:
        with subtests.test(case.name):
            _hold(case, plumbing_of, tmp_path)


def _hold(case: Case, plumbing_of: Any, folder: Path) -> None:
    for inputs, expected in case.data_sets:
        if case.name in LEFT_OUT:
            with pytest.raises(ModelError, match=LEFT_OUT[case.name]):
                _imported(case, inputs, plumbing_of(case.model), folder)
            continue
        for got, want in zip(_imported(case, inputs, plumbing_of(case.model), folder), expected, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got, want, rtol=case.rtol, atol=max(case.atol, 1e-6))


def test_what_is_left_out_is_a_case(onnx_cases: Mapping[str, Case]) -> None:
    for name in LEFT_OUT:
        assert PROMISED.issuperset(node.op_type for node in onnx_cases[name].model.graph.node)
