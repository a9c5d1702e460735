"""Convolutions and pooling."""

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


def _window(draw: Draw, axes: int, *, dilated: bool = True) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Attributes, kernel and input axes such that at least one window fits."""
    kernel = tuple(small(draw, 1, 3) for _ in range(axes))
    strides = [small(draw, 1, 3) for _ in range(axes)]
    attributes: dict[str, Any] = {"strides": strides}
    auto = draw(st.sampled_from(["", "", "", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    dilations = [small(draw, 1, 2) if dilated and not auto else 1 for _ in range(axes)]
    if dilated:
        attributes["dilations"] = dilations
    if auto.startswith("SAME"):  # ONNX Runtime's pooling refuses or crops where strides step over elements
        kernel = tuple(max(k, s) for k, s in zip(kernel, strides, strict=True))
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto:
        attributes["auto_pad"] = auto
    else:
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    spatial = tuple(s + draw(st.integers(0, 7)) for s in span)
    return attributes, kernel, spatial


def _conv(case: Any, draw: Draw) -> Any:
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])))
    if draw(st.integers(0, 4)) == 0:  # pointwise
        kernel = (1,) * len(kernel)
        attributes = {}
    depthwise = draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inner, outer = small(draw, 1, 3), small(draw, 1, 3)
    if depthwise:
        groups, inner, outer = small(draw, 1, 5), 1, draw(st.sampled_from([1, 1, 2]))
    shapes: list[tuple[int, ...] | None] = [
        (small(draw, 1, 3), groups * inner, *spatial),
        (groups * outer, inner, *kernel),
        draw(st.sampled_from([None, (groups * outer,)])),
    ]
    attributes["group"] = groups
    return case("Conv", draw(st.sampled_from([11, 17, 22])), shapes, attributes, batch_axes={0: 0})


def _conv_transpose(case: Any, draw: Draw) -> Any:
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = tuple(small(draw, 1, 3) for _ in range(axes))
    strides = [small(draw, 1, 3) for _ in range(axes)]
    spatial = tuple(small(draw, 2, 6) for _ in range(axes))
    attributes: dict[str, Any] = {"strides": strides}
    dilations = [small(draw, 1, 2) for _ in range(axes)]
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    match draw(st.sampled_from(["pads", "shape", "SAME_UPPER", "SAME_LOWER", "none"])):
        case "pads":
            attributes |= {"dilations": dilations, "pads": [draw(st.integers(0, s // 2)) for s in span * 2]}
            extra = [draw(st.integers(0, s - 1)) for s in strides]
            attributes["output_padding"] = extra
        case "shape":
            attributes["dilations"] = dilations
            full = [(n - 1) * s + w for n, s, w in zip(spatial, strides, span, strict=True)]
            attributes["output_shape"] = [
                max(1, f - draw(st.integers(0, w - 1))) for f, w in zip(full, span, strict=True)
            ]
            if draw(st.booleans()):
                attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
        case "none":
            attributes["dilations"] = dilations
        case auto:
            attributes["auto_pad"] = auto
            kernel = tuple(max(k, s) for k, s in zip(kernel, strides, strict=True))
    groups, inner, outer = draw(st.sampled_from([1, 1, 2, 3])), small(draw, 1, 3), small(draw, 1, 3)
    attributes["group"] = groups
    shapes: list[tuple[int, ...] | None] = [
        (small(draw, 1, 3), groups * inner, *spatial),
        (groups * inner, outer, *kernel),
        draw(st.sampled_from([None, (groups * outer,)])),
    ]
    return case("ConvTranspose", draw(st.sampled_from([11, 17, 22])), shapes, attributes, batch_axes={0: 0})


def _max_pool(case: Any, draw: Draw) -> Any:
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])))
    attributes |= {"kernel_shape": kernel, "ceil_mode": int(draw(st.booleans()))}
    dtype = draw(st.sampled_from(["float32", "float32", "uint8"]))
    opset = draw(st.sampled_from([12, 17, 22] if dtype == "uint8" else [11, 12, 17, 22]))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return case("MaxPool", opset, [shape], attributes, dtype=dtype, batch_axes={0: 0})


def _average_pool(case: Any, draw: Draw) -> Any:
    opset = draw(st.sampled_from([11, 17, 19, 22]))
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])), dilated=opset >= 19)
    attributes |= {"kernel_shape": kernel, "count_include_pad": int(draw(st.booleans()))}
    attributes["ceil_mode"] = int(draw(st.booleans()))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return case("AveragePool", opset, [shape], attributes, batch_axes={0: 0})


def _global(case: Any, draw: Draw) -> Any:
    op = draw(st.sampled_from(["GlobalAveragePool", "GlobalMaxPool"]))
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(1, 3))))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return case(op, draw(st.sampled_from([11, 22])), [shape], batch_axes={0: 0})


@pytest.mark.usefixtures("budget")
@pytest.mark.parametrize("make", [_conv, _conv_transpose, _max_pool, _average_pool, _global])
def test_it_keeps_the_promise(make: Any, promise: Any) -> None:
    promise(make)
