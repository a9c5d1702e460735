"""Operators whose result is known at load, as every shape is: Shape, Size, ConstantOfShape, Range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import copy
from treadle_agent.program.ops.reading import ANY, SIGNED, integer, operand, static, tensor
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Canonical,
    Launch,
    Node,
    kernel,
    operator,
    scalar,
)


@operator("Shape", oldest=1, newest=25)
def _shape(node: Node) -> Canonical:
    """Known at load, as all shapes are."""
    shape = operand(node, 0, ANY).shape
    end = node.attributes.get("end")
    return Canonical("Constant", {"values": shape[integer(node, "start", 0) : None if end is None else int(end)]}, ())


@operator("Size", oldest=1, newest=25)
def _size(node: Node) -> Canonical:
    """Known at load, as all shapes are."""
    return Canonical("Constant", {"values": (operand(node, 0, ANY).elements,)}, ())


@kernel("Constant")
def _bind_constant(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del inputs
    (out,) = outputs
    return copy(np.asarray(attributes["values"], out.dtype).reshape(out.shape[1:]), out)


@operator("ConstantOfShape", oldest=9, newest=25)
def _constant_of_shape(node: Node) -> Canonical:
    """Of every type; the shape must be known at load."""
    value = tensor(node, "value")
    return Canonical("Fill", {"value": 0.0 if value is None else scalar(value)}, ())


@kernel("Fill")
def _bind_fill(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del inputs
    (out,) = outputs
    return copy(np.asarray(attributes["value"], out.dtype), out)


@operator("Range", oldest=11, newest=27)
def _range(node: Node) -> Canonical:
    """Of float32, int32, int64; start, limit and delta must be known at load."""
    for index in range(3):
        operand(node, index, SIGNED)
    start, _, delta = (static(node, index, name) for index, name in enumerate(("start", "limit", "delta")))
    assert start is not None
    assert delta is not None
    return Canonical("Range", {"start": scalar(start), "delta": scalar(delta)}, ())


@kernel("Range")
def _bind_range(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del inputs
    (out,) = outputs
    start, delta = (np.asarray(attributes[name], out.dtype) for name in ("start", "delta"))
    return copy(start + np.arange(out.shape[1], dtype=out.dtype) * delta, out)
