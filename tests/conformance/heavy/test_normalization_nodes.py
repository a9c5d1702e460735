"""Normalisations."""

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


def _batch_norm(case: Any, draw: Draw) -> Any:
    channels = small(draw, 1, 6)
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(0, 3))))
    shapes = [(small(draw, 1, 3), channels, *spatial), *[(channels,)] * 4]
    attributes = {"epsilon": draw(st.sampled_from([1e-5, 1e-3]))}
    opset = draw(st.sampled_from([11, 14, 15, 21]))
    return case("BatchNormalization", opset, shapes, attributes, positive=(4,), batch_axes={0: 0})


def _layer_norm(case: Any, draw: Draw) -> Any:
    shape = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(2, 4))))
    axis = draw(st.integers(-len(shape) + 1, len(shape) - 1))
    row = shape[axis:]
    attributes = {"axis": axis, "epsilon": draw(st.sampled_from([1e-5, 1e-2]))}
    outputs = draw(st.sampled_from([(True,), (True, True, True), (True, True), (True, False, True)]))
    shapes = [shape, row, draw(st.sampled_from([None, row]))]
    rows = {0: 0} if axis % len(shape) else None
    return case("LayerNormalization", 17, shapes, attributes, outputs, batch_axes=rows)


def _instance_norm(case: Any, draw: Draw) -> Any:
    channels = small(draw, 1, 6)
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(1, 3))))
    shapes = [(small(draw, 1, 3), channels, *spatial), (channels,), (channels,)]
    attributes = {"epsilon": draw(st.sampled_from([1e-5, 1e-2]))}
    return case("InstanceNormalization", draw(st.sampled_from([11, 22])), shapes, attributes, batch_axes={0: 0})


def _group_norm(case: Any, draw: Draw) -> Any:
    groups, each = small(draw, 1, 3), small(draw, 1, 3)
    opset = draw(st.sampled_from([18, 21]))
    spatial = tuple(small(draw, 1, 6) for _ in range(draw(st.integers(1, 2))))
    scales = (groups,) if opset == 18 else (groups * each,)
    shapes = [(small(draw, 1, 3), groups * each, *spatial), scales, scales]
    return case("GroupNormalization", opset, shapes, {"num_groups": groups}, batch_axes={0: 0})


def _rms_norm(case: Any, draw: Draw) -> Any:
    shape = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(2, 4))))
    axis = draw(st.integers(1, len(shape) - 1))
    return case("RMSNormalization", 23, [shape, shape[axis:]], {"axis": axis}, batch_axes={0: 0})


@pytest.mark.parametrize("make", [_batch_norm, _layer_norm, _instance_norm, _group_norm, _rms_norm])
def test_it_keeps_the_promise(make: Any, promise: Any) -> None:
    promise(make)
