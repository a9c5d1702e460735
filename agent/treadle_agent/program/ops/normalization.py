"""Normalisation at inference: by running statistics (batch) or by the row's own (layer, instance, group, RMS)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import float_of, given, int_of, shaped
from treadle_agent.program.ops.problems import constant_data_apart
from treadle_agent.program.ops.reading import FLOAT, axis_of, integer, number, operand, present
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
)
from treadle_agent.program.ops.scratch import per_thread, scratch


@operator("BatchNormalization", oldest=9, newest=15)
def _normalise_batch(node: Node) -> Canonical:
    operand(node, 0, FLOAT)
    if integer(node, "training_mode", 0) or any(output is not None for output in node.outputs[1:]):
        raise UnsupportedError("training mode")
    return Canonical("BatchNormalization", {"epsilon": number(node, "epsilon", 1e-5)}, (0, 1, 2, 3, 4))


@operator("LayerNormalization", newest=17)
def _normalise_layer(node: Node) -> Canonical:
    attributes = {
        **_row(node),
        "results": tuple(n for n, output in zip(_RESULTS, node.outputs, strict=False) if output),
    }
    return Canonical("LayerNormalization", attributes, (0, 1, 2 if present(node, 2) else None))


@operator("RMSNormalization", newest=23)
def _normalise_rms(node: Node) -> Canonical:
    return Canonical("RMSNormalization", _row(node), (0, 1))


@operator("InstanceNormalization", newest=22)
def _normalise_instance(node: Node) -> Canonical:
    channels = operand(node, 0, FLOAT).shape[1]
    attributes = {"epsilon": number(node, "epsilon", 1e-5), "groups": channels}
    return Canonical("GroupNormalization", attributes, (0, 1, 2))


@operator("GroupNormalization", oldest=18, newest=21)
def _normalise_group(node: Node) -> Canonical:
    operand(node, 0, FLOAT)
    if integer(node, "stash_type", 1) != 1:
        raise UnsupportedError("stash_type other than float32")
    attributes = {"epsilon": number(node, "epsilon", 1e-5), "groups": integer(node, "num_groups", 1)}
    return Canonical("GroupNormalization", attributes, (0, 1, 2))


_RESULTS = ("Y", "Mean", "InvStdDev")


def _row(node: Node) -> dict[str, float | int]:
    rank = len(operand(node, 0, FLOAT).shape)
    if integer(node, "stash_type", 1) != 1:
        raise UnsupportedError("stash_type other than float32")
    return {"axis": axis_of(integer(node, "axis", -1), rank), "epsilon": number(node, "epsilon", 1e-5)}


@kernel("BatchNormalization")
@per_thread
def _bind_batch(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, scale, bias, mean, variance = map(given, inputs)
    out, epsilon = outputs[0], np.float32(float_of(attributes, "epsilon"))
    shape = np.broadcast_shapes(scale.shape, bias.shape, mean.shape, variance.shape)
    factor, shift = scratch(shape, shape)
    wide = (1, shape[1], *(1,) * (data.ndim - 3))
    factors, shifts = shaped(factor, wide), shaped(shift, wide)

    def launch() -> None:
        np.add(variance, epsilon, factor)
        np.sqrt(factor, factor)
        np.divide(scale, factor, factor)
        np.multiply(mean, factor, shift)
        np.subtract(bias, shift, shift)
        np.multiply(data, factors, out)
        np.add(out, shifts, out)

    return launch


class _Rows:
    """Brings rows (R, …, N) to unit variance or, centred, also to zero mean; `inverse` is 1 / deviation (R, …, 1)."""

    def __init__(self, data: Array, out: Array, epsilon: float, mean: Array | None, inverse: Array) -> None:
        self._data, self._out, self._mean, self._inverse = data, out, mean, inverse
        self._size, self._epsilon = np.float32(data.shape[-1]), np.float32(epsilon)
        self._squares = inverse[..., 0]

    def __call__(self) -> None:
        source, out, inverse = self._data, self._out, self._inverse
        if self._mean is not None:
            np.add.reduce(source, axis=-1, keepdims=True, out=self._mean)
            np.divide(self._mean, self._size, self._mean)
            np.subtract(source, self._mean, out)
            source = out
        np.vecdot(source, source, self._squares)
        np.divide(inverse, self._size, inverse)
        np.add(inverse, self._epsilon, inverse)
        np.sqrt(inverse, inverse)
        np.reciprocal(inverse, inverse)
        np.multiply(source, inverse, out)


@kernel("LayerNormalization")
@constant_data_apart
@per_thread
def _bind_layer(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    results = attributes["results"]
    assert isinstance(results, tuple)
    named = dict(zip(results, outputs, strict=True))
    data, out = given(inputs[0]), named["Y"]
    rank, rows, flat = data.ndim - 1, *_flattened(data, int_of(attributes, "axis"))
    small = scratch(rows, rows)
    mean, inverse = (
        shaped(named[name], rows[1:]) if name in named else own for name, own in zip(_RESULTS[1:], small, strict=True)
    )
    normalise = _Rows(shaped(data, flat), shaped(out, flat), float_of(attributes, "epsilon"), mean, inverse)
    scale = aligned(given(inputs[1]), rank)
    bias = None if inputs[2] is None else aligned(inputs[2], rank)

    def launch() -> None:
        normalise()
        np.multiply(out, scale, out)
        if bias is not None:
            np.add(out, bias, out)

    return launch


@kernel("RMSNormalization")
@constant_data_apart
@per_thread
def _bind_rms(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, scale, out = given(inputs[0]), aligned(given(inputs[1]), given(inputs[0]).ndim - 1), outputs[0]
    rows, flat = _flattened(data, int_of(attributes, "axis"))
    normalise = _Rows(shaped(data, flat), shaped(out, flat), float_of(attributes, "epsilon"), None, scratch(rows)[0])

    def launch() -> None:
        normalise()
        np.multiply(out, scale, out)

    return launch


def _flattened(data: Array, axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(R, rows, 1), and (rows, N) of the problem, when the axes from `axis` on are one row."""
    count, length = math.prod(data.shape[1 : 1 + axis]), math.prod(data.shape[1 + axis :])
    return (data.shape[0], count, 1), (count, length)


@kernel("GroupNormalization")
@constant_data_apart
@per_thread
def _bind_group(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, scale, bias = map(given, inputs)
    out, groups = outputs[0], int_of(attributes, "groups")
    samples, channels = data.shape[1:3]
    points = math.prod(data.shape[3:])
    split = (samples, groups, channels // groups, points)
    rows = (samples, groups, channels // groups * points)
    mean, inverse = scratch(*[(out.shape[0], samples, groups, 1)] * 2)
    normalise = _Rows(shaped(data, rows), shaped(out, rows), float_of(attributes, "epsilon"), mean, inverse)
    wide = shaped(out, split)
    # One scale a channel, or (opset 18) one a group.
    scale, bias = (shaped(one, (1, groups, one.shape[1] // groups, 1)) for one in (scale, bias))

    def launch() -> None:
        normalise()
        np.multiply(wide, scale, wide)
        np.add(wide, bias, wide)

    return launch
