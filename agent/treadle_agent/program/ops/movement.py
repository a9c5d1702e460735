"""Operators that keep bytes as they are (views) and plain transpositions and repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import chain, copy, given, shaped
from treadle_agent.program.ops.reading import ANY, asks, integers, operand, result, static
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Canonical,
    Launch,
    Node,
    UnsupportedError,
    aligned,
    kernel,
    operator,
    scalar,
)

_RESHAPED = Canonical("Reshape", {}, (0,), view=True)


def _reshaped(node: Node) -> Canonical:
    """Of every type; costs nothing. Shapes and axes must be known at load."""
    before, after = operand(node, 0, ANY), result(node)
    if before.elements != after.elements:
        raise UnsupportedError(f"shape {before.shape} does not hold as many elements as {after.shape}")
    return _RESHAPED


operator("Reshape", oldest=5, newest=25)(_reshaped)
operator("Flatten", "Squeeze", "Unsqueeze", oldest=11, newest=25)(_reshaped)
operator("Identity", oldest=1, newest=25)(_reshaped)


@kernel("Reshape")
def _bind_reshape(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    return copy(shaped(given(inputs[0]), out.shape[1:]), out)


@operator("Dropout", oldest=10, newest=22)
def _dropout(node: Node) -> Canonical:
    """Of every type, inference only: costs nothing unless the mask is asked for."""
    operand(node, 0, ANY)
    training = static(node, 2, "training_mode")
    if training is not None and scalar(training):
        raise UnsupportedError("input training_mode is true; only inference is supported")
    if asks(node, 1):
        # Version 10 leaves the mask of an inference open, and ONNX Runtime answers False; since 12 it is True.
        return Canonical("Dropout", {"mask": node.version >= 12}, (0,))
    return _RESHAPED


@kernel("Dropout")
def _bind_dropout(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    out, mask = outputs
    return chain(copy(given(inputs[0]), out), copy(np.asarray(attributes["mask"], np.bool_), mask))


@operator("Transpose", oldest=1, newest=25)
def _transpose(node: Node) -> Canonical:
    """Of every type; costs nothing where only axes of extent 1 move."""
    shape = operand(node, 0, ANY).shape
    order = integers(node, "perm") or tuple(reversed(range(len(shape))))
    moved = [axis for axis in order if shape[axis] != 1]
    if moved == sorted(moved):
        return _RESHAPED
    return Canonical("Transpose", {"perm": order}, (0,))


@kernel("Transpose")
def _bind_transpose(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    order = attributes["perm"]
    assert isinstance(order, tuple)
    return copy(given(inputs[0]).transpose(0, *(int(axis) + 1 for axis in order)), outputs[0])


@operator("Expand", oldest=8, newest=13)
def _expand(node: Node) -> Canonical:
    """Of every type; the shape must be known at load."""
    before = operand(node, 0, ANY)
    if before.elements == result(node).elements:
        return _RESHAPED
    return Canonical("Expand", {}, (0,))


@kernel("Expand")
def _bind_expand(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    return copy(aligned(given(inputs[0]), out.ndim - 1), out)


@operator("Tile", oldest=6, newest=13)
def _tile(node: Node) -> Canonical:
    """Of every type; the repeats must be known at load."""
    before = operand(node, 0, ANY)
    if before.elements == result(node).elements:
        return _RESHAPED
    return Canonical("Tile", {}, (0,))


@kernel("Tile")
def _bind_tile(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """Each axis of the output is split into repeats × extent, and the input broadcast along the repeats."""
    del attributes
    (out,) = outputs
    source = given(inputs[0])
    once_: list[int] = []
    split: list[int] = []
    for extent, tiled in zip(source.shape[1:], out.shape[1:], strict=True):
        once_ += (1, extent)
        split += (tiled // extent if extent else 1, extent)
    return copy(shaped(source, once_), shaped(out, split))
