"""Operators that choose among values: Where, ArgMax, ArgMin, TopK."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import call, chain, constant, copy, given, int_of, once, shaped
from treadle_agent.program.ops.reading import (
    ANY,
    BOOLEAN,
    NUMERIC,
    axis_of,
    integer,
    operand,
    result,
    static_integers,
)
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


@operator("Where", oldest=9, newest=16)
def _where(node: Node) -> Canonical:
    """Of every type."""
    operand(node, 0, BOOLEAN)
    operand(node, 1, ANY)
    operand(node, 2, ANY)
    return Canonical("Where", {}, (0, 1, 2))


@kernel("Where")
def _bind_where(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    condition, chosen, other = (aligned(given(one), out.ndim - 1) for one in inputs)
    return chain(copy(other, out), partial(np.copyto, out, chosen, where=condition))


@operator("ArgMax", "ArgMin", oldest=11, newest=13)
def _arg_extremum(node: Node) -> Canonical:
    """Of float32, int32, int64, uint8."""
    shape = operand(node, 0, NUMERIC).shape
    axis = axis_of(integer(node, "axis", 0), len(shape))
    if shape[axis] == 0:
        raise UnsupportedError("input data has no element along the axis")
    return Canonical(node.op, {"axis": axis, "last": bool(integer(node, "select_last_index", 0))}, (0,))


def _bind_arg(name: str) -> None:
    @kernel(name)
    @once
    def bind(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        source, axis = given(inputs[0]), int_of(attributes, "axis") + 1
        (out,) = outputs
        found = shaped(out, source.shape[1:axis] + source.shape[axis + 1 :])
        last = bool(attributes["last"])
        if last:
            source = np.flip(source, axis)
        find = source.argmax if name == "ArgMax" else source.argmin
        if not last:
            return partial(find, axis, found)
        extent = constant(source.shape[axis] - 1, out)
        return chain(partial(find, axis, found), call(np.subtract, extent, found, out=found))


_bind_arg("ArgMax")
_bind_arg("ArgMin")


@operator("TopK", oldest=11, newest=24)
def _topk(node: Node) -> Canonical:
    """Of float32, int32, int64, uint8; K must be known at load. Sorted; of equal values the lower index is first."""
    shape = operand(node, 0, NUMERIC).shape
    axis = axis_of(integer(node, "axis", -1), len(shape))
    wanted = static_integers(node, 1, "K")
    if wanted is None or not 0 <= wanted[0] <= shape[axis]:
        raise UnsupportedError(f"input K is {wanted}, the axis holds {shape[axis]} elements")
    for index in (0, 1):
        result(node, index)
    return Canonical("TopK", {"axis": axis, "largest": bool(integer(node, "largest", 1))}, (0,))


@kernel("TopK")
@once
def _bind_topk(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """Sorted whether asked for or not; of equal values the lower index comes first, as ONNX wants it."""
    axis, largest = int_of(attributes, "axis") + 1, bool(attributes["largest"])
    source, values, indices = (array.swapaxes(axis, -1) for array in (given(inputs[0]), *outputs))
    count, extent = values.shape[-1], source.shape[-1]

    def launch() -> None:
        if largest:  # ascending from the back, so that a stable sort leaves the lower of equal indices last
            order = source[..., ::-1].argsort(axis=-1, kind="stable")[..., ::-1][..., :count]
            np.subtract(extent - 1, order, out=indices)
        else:
            indices[...] = source.argsort(axis=-1, kind="stable")[..., :count]
        values[...] = np.take_along_axis(source, indices, axis=-1)

    return launch
