"""Each version of each operator, from opset 11 on, against ONNX Runtime on generated inputs: types and values."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx.defs
import onnxruntime as ort
import pytest

from treadle_agent.program import ops
from treadle_agent.program.folding import static_type
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import UnsupportedError

assert ops.__all__  # importing the package fills the table
HERE = Path(__file__).parent
PROMISED = frozenset((HERE.parent / "promised.txt").read_text().split()) - {
    "If"
}  # chosen before there are nodes: test_if.py
OLDEST_OPSET, NEWEST_OPSET = 11, 28
DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}
DTYPES["tensor(bool)"] = "bool"
LEFT_OUT: Mapping[str, Mapping[str, str]] = tomllib.loads((HERE / "left_out.toml").read_text())


def _versions(operator: str) -> list[int]:
    """The since-versions in force in some opset from OLDEST_OPSET on."""
    every = sorted(
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.name == operator and not schema.deprecated
        if schema.since_version <= NEWEST_OPSET
    )
    return [one for one in every if one >= OLDEST_OPSET or all(not one < other <= OLDEST_OPSET for other in every)]


def _numbers(operator: str, version: int) -> Iterator[str]:
    """The element types treadle knows that ONNX allows for what this version works on."""
    schema = onnx.defs.get_schema(operator, version, "")
    formal = schema.inputs[1 if operator == "Where" else 0] if schema.inputs else schema.outputs[0]
    for one in sorted(formal.types & DTYPES.keys()):
        yield DTYPES[one]


CASES = [
    f"{operator}-{version} {dtype}"
    for operator in sorted(registry.NORMALISE)
    for version in _versions(operator)
    for dtype in _numbers(operator, version)
]


def test_every_promised_operator_and_version_is_in_the_table() -> None:
    missing = [
        f"{operator}-{version}"
        for operator in sorted(PROMISED)
        for version in _versions(operator)
        if operator not in registry.NORMALISE or version not in registry.NORMALISE[operator].versions
    ]
    assert not missing


def test_no_version_is_accepted_that_is_not_compared_below() -> None:
    for name, entry in registry.NORMALISE.items():
        assert max(_versions(name)) == max(entry.versions), name


def test_what_is_left_out_is_a_case() -> None:
    known = {*CASES} | {f"{case.split('-')[0]} {case.split()[1]}" for case in CASES}
    assert {*LEFT_OUT["treadle"], *LEFT_OUT["onnxruntime"]} <= known


@pytest.mark.parametrize("case", CASES)
def test_a_version_answers_what_onnx_runtime_answers(
    case: str, examples_of: Callable[[str, int, str], Any], node_runner: Any
) -> None:
    operator, version, dtype = case.replace("-", " ").split()
    declined = LEFT_OUT["treadle"].get(f"{operator} {dtype}")
    not_run = LEFT_OUT["onnxruntime"].get(case)
    for example in examples_of(operator, int(version), dtype):
        model = example.model(operator, int(version))
        if declined:
            with pytest.raises(UnsupportedError, match=declined):
                _ours(model, example, node_runner)
            continue
        ours = _ours(model, example, node_runner)
        if not_run:
            with pytest.raises(Exception, match=not_run):
                _theirs(model, example)
            continue
        for got, want in zip(ours, _theirs(model, example), strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def _ours(model: onnx.ModelProto, example: Any, node_runner: Any) -> list[Any]:
    types = [static_type(value) for value in model.graph.output]
    assert None not in types, model.graph.output
    return node_runner(model)([example.feeds], [np.empty(one.shape, one.dtype) for one in types if one])[0]


def _theirs(model: onnx.ModelProto, example: Any) -> list[Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    return session.run(None, {name: one for name, one in example.feeds.items() if name in names})
