"""MatMul and Gemm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def small(draw: Draw, low: int = 1, high: int = 5) -> int:
    return draw(st.integers(low, high))


def wide(draw: Draw) -> int:
    """A size around the widths at which BLAS and vector code change their ways."""
    return draw(st.one_of(st.integers(1, 40), st.sampled_from([47, 48, 49, 63, 64, 65, 96, 127, 128, 130, 257])))


def _matmul(case: Any, draw: Draw) -> Any:
    m, k, n = small(draw, 1, 9), wide(draw), wide(draw)
    batches = st.sampled_from(
        [((), ()), ((3,), ()), ((), (2,)), ((2, 3), (2, 3)), ((2, 1), (3,)), ((1, 3), (2, 1)), ((4, 2), ())]
    )
    left, right = draw(batches)
    a, b = (*left, m, k), (*right, k, n)
    vector = draw(st.sampled_from(["", "", "left", "right", "both"]))
    if vector in {"left", "both"}:
        a = (k,)
    if vector in {"right", "both"}:
        b = (k,)
    dtype = draw(st.sampled_from(["float32", "float32", "int32", "int64"]))
    rows = {0: 0} if not vector and len(a) > 2 and len(b) == 2 else None
    return case("MatMul", draw(st.sampled_from([11, 13, 21])), [a, b], dtype=dtype, batch_axes=rows)


def _gemm(case: Any, draw: Draw) -> Any:
    m, k, n = small(draw, 1, 9), wide(draw), wide(draw)
    trans_a, trans_b = draw(st.booleans()), draw(st.booleans())
    added = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, 1), (m, n)]))
    attributes = {
        "transA": int(trans_a),
        "transB": int(trans_b),
        "alpha": draw(st.sampled_from([1.0, 0.5, -2.0])),
        "beta": draw(st.sampled_from([1.0, 0.25, 0.0, 3.0])),
    }
    shapes = [(k, m) if trans_a else (m, k), (n, k) if trans_b else (k, n), added]
    rows = {0: int(trans_a)} if added in (None, (), (1,), (n,), (1, n)) and added != (m, n) else None
    return case("Gemm", draw(st.sampled_from([11, 13, 20])), shapes, attributes, batch_axes=rows)


@pytest.mark.parametrize("make", [_matmul, _gemm])
def test_it_keeps_the_promise(make: Any, promise: Any) -> None:
    promise(make)
