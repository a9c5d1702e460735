"""The ONNX project's own node tests (onnx.backend.test) for the operators treadle promises.

`left_out.toml` names those that treadle declines, each with the reason; the lists are exact in both directions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.numpy_helper import to_array

from treadle_agent.program import ops
from treadle_agent.program.ops.registry import UnsupportedError

Array = np.ndarray[Any, Any]
assert ops.__all__  # importing the package fills the table

HERE = Path(__file__).parent
PROMISED = frozenset((HERE / "promised.txt").read_text().split())
RUN = PROMISED - {"If"}  # whose branch is chosen before there are nodes to run
LEFT_OUT: Mapping[str, str] = {
    name: group["error"]
    for group in tomllib.loads((HERE / "left_out.toml").read_text())["node"]
    for name in group["tests"]
}


def _arrays(values: Sequence[Any]) -> list[Array]:
    arrays = [to_array(value) if isinstance(value, TensorProto) else value for value in values]
    for value in arrays:
        if not isinstance(value, (np.ndarray, np.generic)):
            raise UnsupportedError(f"a value is a {type(value).__name__}, not a tensor")
    return [np.asarray(value) for value in arrays]


def _varied(feeds: Mapping[str, Array], fixed: set[str], by: int) -> dict[str, Array]:
    """Another problem of the same signature: the same numbers elsewhere, so that they stay in the operator's domain."""
    return {
        name: value if name in fixed else np.roll(value.reshape(-1), by).reshape(value.shape)
        for name, value in feeds.items()
    }


def _run(case: Case, runner: Any, variations: int) -> list[tuple[list[Array], list[Array], list[Array]]]:
    """For each data set and problem: what ONNX expects (of the first problem), what it got alone and coalesced."""
    found = []
    node = runner(case.model)
    for inputs, expected in case.data_sets:
        results = _arrays(expected)
        feeds = dict(zip(node.names, _arrays(inputs), strict=True))
        problems = [feeds, *(_varied(feeds, node.fixed, by) for by in range(1, variations + 1))]
        coalesced = node(problems, results)
        found += [(results, node([one], results)[0], many) for one, many in zip(problems, coalesced, strict=True)]
    return found


@pytest.mark.parametrize("op", sorted(RUN))
def test_a_node_answers_what_onnx_expects_alone_and_coalesced(
    op: str, onnx_cases: Mapping[str, Case], node_runner: Any, subtests: pytest.Subtests
) -> None:
    cases = [case for case in onnx_cases.values() if [node.op_type for node in case.model.graph.node] == [op]]
    assert cases, "ONNX tests every operator"
    for case in cases:
        if case.name not in LEFT_OUT:
            with subtests.test(case.name):
                _hold(case, node_runner)


def _hold(case: Case, node_runner: Any) -> None:
    for problem, (expected, solo, coalesced) in enumerate(_run(case, node_runner, variations=2)):
        for want, alone, together in zip(expected, solo, coalesced, strict=True):
            assert alone.tobytes() == together.tobytes()
            if problem % 3 == 0:
                assert (alone.dtype, alone.shape) == (want.dtype, want.shape)
                np.testing.assert_allclose(alone, want, rtol=case.rtol, atol=max(case.atol, 1e-6))


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_is_left_out_is_declined_with_a_reason(
    name: str, onnx_cases: Mapping[str, Case], node_runner: Any
) -> None:
    assert [node.op_type in RUN for node in onnx_cases[name].model.graph.node] == [True]
    with pytest.raises(UnsupportedError, match=LEFT_OUT[name]):
        _run(onnx_cases[name], node_runner, variations=0)
