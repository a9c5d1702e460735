from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.bindings import Bindings
from treadle_agent.executor.gateway import FullError
from treadle_agent.executor.protocol import block_layout, with_rows
from treadle_agent.program.model import TensorType

SHAPES = st.lists(st.integers(1, 9), max_size=3).map(lambda tail: (1, *tail))
TYPES = st.builds(TensorType, st.sampled_from(["float32", "int64", "bool", "uint8"]), SHAPES)


@given(st.lists(TYPES, min_size=1, max_size=4), st.lists(TYPES, max_size=4), st.integers(1, 20), st.booleans())
def test_a_plan_is_the_protocols_layout_and_keeps_tensors_apart(
    inputs: list[TensorType], outputs: list[TensorType], rows: int, batchable: bool
) -> None:
    bindings = Bindings(batchable=batchable, limit=2)
    bindings.add(tuple(one.shape for one in inputs), tuple(inputs), tuple(outputs))
    types = [with_rows(one, rows, batchable=batchable) for one in (*inputs, *outputs)]
    plan = bindings.plan(tuple(one.shape for one in types[: len(inputs)]))
    assert plan.rows == (rows if batchable else 1)
    offsets, size = block_layout(types)
    assert plan.nbytes == size
    owners = np.zeros(size, np.int64)
    for (dtype, shape, at), type_, offset in zip((*plan.inputs, *plan.outputs), types, offsets, strict=True):
        assert (dtype, shape, at) == (np.dtype(type_.dtype), type_.shape, offset)
        owners[at : at + type_.nbytes] += 1
    assert owners.max() <= 1


def test_rows_must_agree() -> None:
    bindings = Bindings(batchable=True, limit=2)
    one = TensorType("float32", (1, 3))
    bindings.add(((1, 3), (1, 3)), (one, one), (one,))
    assert bindings.plan(((4, 3), (4, 3))).rows == 4
    for wrong in (((4, 3), (5, 3)), ((0, 3), (0, 3)), ((4, 3), ()), ((4, 4), (4, 3))):
        with pytest.raises(KeyError):
            bindings.plan(wrong)


def test_the_least_recently_used_gives_way_unless_it_is_in_use() -> None:
    bindings = Bindings(batchable=False, limit=2)

    def bind(width: int) -> tuple[int, int | None]:
        one = TensorType("float32", (width,))
        binding, evicted = bindings.add(((width,),), (one,), (one,))
        return binding.number, evicted and evicted.number

    assert (bind(1), bind(2)) == ((0, None), (1, None))
    bindings.plan(((2,),))
    bindings.plan(((1,),))
    assert bind(3) == (2, 1)
    assert ((1,),) in bindings
    assert ((2,),) not in bindings
    with pytest.raises(KeyError):
        bindings.plan(((2,),))
    for binding in bindings:
        binding.calls = 1
    with pytest.raises(FullError, match="2 different input shapes"):
        bind(4)
    bindings.plan(((3,),)).binding.calls = 0
    assert bind(4) == (3, 2)
    assert len(bindings) == 2
