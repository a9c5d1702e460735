from __future__ import annotations

import numpy as np
import pytest

from treadle_agent.program import ops
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import BIND, Node, UnsupportedError

assert ops.__all__  # importing the package fills the table


@pytest.mark.parametrize("shared", [True, False])
def test_a_bad_index_of_one_problem_leaves_the_others_alone(*, shared: bool) -> None:
    """`shared` embeddings are one operand of all problems; otherwise each problem has its own."""
    data = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    data = data if shared else np.concatenate([data, data + 100])
    index = np.asarray([[0, -1], [1_000_001, 2]], np.int64)
    out = np.full((2, 2, 3), np.nan, np.float32)
    BIND["Gather"]({"axis": 0}, [data, index], [out])()
    np.testing.assert_array_equal(out[0], data[0][[0, 3]])
    np.testing.assert_array_equal(out[1], data[-1][[1, 2]])


def test_a_refusal_names_the_input_and_its_type() -> None:
    number = TensorType("int64", (2, 3))
    with pytest.raises(UnsupportedError, match="input 0 has type int64; supported: float32"):
        registry.normalise(Node("Softmax", 13, {}, (number,), (None,), (number,)))


def test_plumbing_that_is_computed_at_run_time_is_refused_by_name() -> None:
    data, starts = TensorType("float32", (4,)), TensorType("int64", (1,))
    node = Node("Slice", 13, {}, (data, starts, starts), (None, None, np.asarray([2])), (data,))
    with pytest.raises(UnsupportedError, match="input starts is computed at run time"):
        registry.normalise(node)
