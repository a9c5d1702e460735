"""Resize."""

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


def _resize(case: Any, draw: Draw) -> Any:
    opset = draw(st.sampled_from([11, 13, 18, 19]))
    mode = draw(st.sampled_from(["nearest", "linear"]))
    coordinates = [
        "half_pixel",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        *(["half_pixel_symmetric"] if opset == 19 else []),
        *(["tf_crop_and_resize"] if mode == "linear" else []),
        *(["tf_half_pixel_for_nn"] if opset == 11 and mode == "nearest" else []),
    ]
    coordinate = draw(st.sampled_from(coordinates))
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinate}
    if mode == "nearest":
        attributes["nearest_mode"] = draw(st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    shape = (small(draw, 1, 2), small(draw, 1, 3), small(draw, 1, 7), small(draw, 1, 7))
    given: list[tuple[int, ...] | None] = [shape, None, None, None]
    known: dict[int, Array] = {}
    axes = [2, 3] if opset >= 18 and draw(st.booleans()) else [0, 1, 2, 3]
    if len(axes) == 2:
        attributes["axes"] = axes
    if coordinate == "tf_crop_and_resize":
        region = [0.0] * (len(axes) - 2) + [0.1, 0.3] + [1.0] * (len(axes) - 2) + [0.8, 1.2]
        known[1] = np.array(region, np.float32)
        attributes["extrapolation_value"] = 2.5
    if coordinate == "align_corners" or draw(st.booleans()):
        sizes = [*shape[: len(axes) - 2], small(draw, 1, 12), small(draw, 1, 12)]
        known[3] = np.array(sizes, np.int64)
        if opset >= 18 and coordinate == "half_pixel" and draw(st.booleans()):
            attributes["keep_aspect_ratio_policy"] = draw(st.sampled_from(["not_larger", "not_smaller"]))
            attributes["axes"], known[3] = [2, 3], known[3][-2:]
    else:
        scale = st.sampled_from([0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 2.25])
        scales = [1.0] * (len(axes) - 2) + [draw(scale), draw(scale)]
        if min(shape[2] * scales[-2], shape[3] * scales[-1]) < 1:
            scales[-2:] = [2.0, 2.0]
        known[2] = np.array(scales, np.float32)
    if opset == 11:
        known = {1: np.zeros(0, np.float32), 2: np.zeros(0, np.float32), **known}
    for position, value in known.items():
        given[position] = value.shape
    return case("Resize", opset, given, attributes, known=known, batch_axes={0: 0} if 3 not in known else None)


@pytest.mark.parametrize("make", [_resize])
def test_it_keeps_the_promise(make: Any, promise: Any) -> None:
    promise(make)
