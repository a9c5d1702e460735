"""Reductions over axes of one problem, and the two softmaxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import call, chain, constant, copy, given, ints, once, shaped
from treadle_agent.program.ops.reading import (
    ANY,
    FLOAT,
    SIGNED,
    axes_of,
    integer,
    integers,
    operand,
    static_integers,
)
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Canonical,
    Launch,
    Node,
    kernel,
    operator,
)
from treadle_agent.program.ops.scratch import per_thread, scratch

_SELF_OF_ONE = frozenset({"ReduceSum", "ReduceMean", "ReduceProd"})  # reducing no axis changes nothing
_AXES_INPUT_SINCE = {"ReduceSum": 13}  # the others take `axes` as an input from version 18 on


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    """The reduced axes, as an attribute or as an input; none given means all, or none with noop_with_empty_axes."""
    as_input = node.version >= _AXES_INPUT_SINCE.get(node.op, 18)
    axes = static_integers(node, 1, "axes") if as_input else integers(node, "axes")
    if axes:
        return axes_of(axes, rank)
    return () if integer(node, "noop_with_empty_axes", 0) else tuple(range(rank))


@operator("ReduceSum", oldest=11, newest=13)
@operator("ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", oldest=11, newest=18)
def _reduce(node: Node) -> Canonical:
    """Of float32, ReduceSum also of int32 and int64; axes must be known at load."""
    shape = operand(node, 0, SIGNED if node.op == "ReduceSum" else FLOAT).shape
    axes = _axes(node, len(shape))
    return Canonical(node.op, {"axes": axes}, (0,), view=not axes and node.op in _SELF_OF_ONE)


@operator("ReduceMax", "ReduceMin", oldest=11, newest=20)
def _extremum(node: Node) -> Canonical:
    """Of every type; axes must be known at load."""
    axes = _axes(node, len(operand(node, 0, ANY).shape))
    return Canonical(node.op, {"axes": axes}, (0,), view=not axes)


def kept(source: Array, out: Array, axes: Sequence[int]) -> Array:
    """`out` as if the reduced axes had been kept with extent 1."""
    return shaped(out, [1 if axis in axes else extent for axis, extent in enumerate(source.shape[1:])])


def fold(ufunc: np.ufunc, source: Array, axes: Sequence[int], out: Array) -> Launch:
    """Reduce `axes`, counted without axis 0, of `source` into `out`, which keeps them with extent 1."""
    if not axes:
        return copy(source, out)
    shifted = tuple(axis + 1 for axis in axes)
    if ufunc in {np.maximum, np.minimum} and not all(source.shape[axis] for axis in shifted):
        return copy(np.asarray(_empty_extremum(out.dtype, lowest=ufunc is np.maximum)), out)
    return partial(ufunc.reduce, source, shifted, out.dtype, out, True)  # type: ignore[call-arg] # noqa: FBT003


def _empty_extremum(dtype: np.dtype[np.generic], *, lowest: bool) -> float:
    """What ReduceMax and ReduceMin answer for no elements (ONNX, version 20)."""
    if dtype == np.bool_:
        return not lowest
    if dtype == np.float32:
        return -np.inf if lowest else np.inf
    bounds = np.iinfo(dtype.name)
    return bounds.min if lowest else bounds.max


def _register(name: str, ufunc: np.ufunc, before: np.ufunc | None = None, after: np.ufunc | None = None) -> None:
    def bind(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        source, places = given(inputs[0]), ints(attributes, "axes")
        out = kept(source, outputs[0], places)
        steps: list[Launch] = []
        if before is not None:
            (prepared,) = scratch(source.shape)
            steps.append(call(before, source, out=prepared))
            source = prepared
        steps.append(fold(ufunc, source, places, out))
        if after is not None:
            steps.append(call(after, out, out=out))
        if name == "ReduceMean":
            count = np.prod([source.shape[axis + 1] for axis in places])
            steps.append(call(np.divide, out, constant(float(count), out), out=out))
        return chain(*steps)

    kernel(name)(once(bind if before is None else per_thread(bind)))


_register("ReduceSum", np.add)
_register("ReduceMean", np.add)
_register("ReduceProd", np.multiply)
_register("ReduceMax", np.maximum)
_register("ReduceMin", np.minimum)
_register("ReduceL1", np.add, before=np.absolute)
_register("ReduceL2", np.add, before=np.square, after=np.sqrt)
_register("ReduceSumSquare", np.add, before=np.square)
