"""Operators that pick or place parts of a tensor: Concat, Split, Slice, Gather."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import chain, copy, given, int_of, ints, once, spread
from treadle_agent.program.ops.reading import ANY, axis_of, integer, operand, operands, result, static_integers
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Canonical,
    Launch,
    Node,
    UnsupportedError,
    kernel,
    operator,
)


@operator("Concat", oldest=11, newest=13)
def _concat(node: Node) -> Canonical:
    """Of every type."""
    axis = axis_of(integer(node, "axis", 0), len(operand(node, 0, ANY).shape))
    return Canonical("Concat", {"axis": axis}, operands(node, ANY), view=len(node.types) == 1)


@kernel("Concat")
@once
def _bind_concat(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    (out,) = outputs
    parts = [spread(given(one), out.shape[0]) for one in inputs]
    return partial(np.concatenate, parts, int_of(attributes, "axis") + 1, out)


@operator("Split", oldest=11, newest=18)
def _split(node: Node) -> Canonical:
    """Of every type; the sizes must be known at load."""
    axis = axis_of(integer(node, "axis", 0), len(operand(node, 0, ANY).shape))
    for index in range(len(node.outputs)):
        result(node, index)  # the sizes of the parts are the outputs' own
    return Canonical("Split", {"axis": axis}, (0,), view=len(node.outputs) == 1)


@kernel("Split")
def _bind_split(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, axis = given(inputs[0]), int_of(attributes, "axis") + 1
    ends = np.cumsum([out.shape[axis] for out in outputs])
    return chain(*(copy(part, out) for part, out in zip(np.split(source, ends[:-1], axis), outputs, strict=True)))


@operator("Slice", oldest=11, newest=13)
def _slice(node: Node) -> Canonical:
    """Of every type; starts, ends, axes and steps must be known at load."""
    shape = operand(node, 0, ANY).shape
    starts = static_integers(node, 1, "starts") or ()
    ends = static_integers(node, 2, "ends") or ()
    axes = static_integers(node, 3, "axes") or tuple(range(len(starts)))
    steps = static_integers(node, 4, "steps") or (1,) * len(starts)
    first, stride = [0] * len(shape), [1] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_of(axis, len(shape))
        # Python's slice clamps as ONNX does, also for the INT_MIN and INT_MAX that mean "to the end"
        first[place], _, stride[place] = slice(start, end, step).indices(shape[place])
    view = result(node).shape == shape and all(step > 0 for step in stride)
    return Canonical("Slice", {"starts": tuple(first), "steps": tuple(stride)}, (0,), view=view)


@kernel("Slice")
def _bind_slice(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    (out,) = outputs
    return copy(given(inputs[0])[stepped(ints(attributes, "starts"), ints(attributes, "steps"), out.shape[1:])], out)


def stepped(starts: Sequence[int], steps: Sequence[int], counts: Sequence[int]) -> tuple[slice, ...]:
    """Slices of ``(R, *shape)`` that take ``counts[i]`` elements from ``starts[i]`` by ``steps[i]`` on axis i."""
    slices = [slice(None)]
    for start, step, count in zip(starts, steps, counts, strict=True):
        stop = start + step * count
        slices.append(slice(start, stop if stop >= 0 else None, step) if count else slice(0, 0))
    return tuple(slices)


@operator("Gather", oldest=11, newest=13)
def _gather(node: Node) -> Canonical:
    """Of every type, by int32 or int64. An index outside [-n, n) is taken modulo n: it must not fail other tenants."""
    shape = operand(node, 0, ANY).shape
    operand(node, 1, ("int32", "int64"))
    axis = axis_of(integer(node, "axis", 0), len(shape))
    if shape[axis] == 0:
        raise UnsupportedError("input data has no element along the axis")
    return Canonical("Gather", {"axis": axis}, (0, 1))


@kernel("Gather")
@once
def _bind_gather(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """An index outside [-n, n) is taken modulo n: one tenant's bad index must not fail the others' launch."""
    (out,) = outputs
    data, index = given(inputs[0]), given(inputs[1])
    axis, problems = int_of(attributes, "axis") + 1, out.shape[0]
    extent = np.asarray(data.shape[axis], index.dtype)
    if index.shape[0] == 1 and (data.shape[0] == problems):
        within = np.empty(index.shape[1:], np.intp)

        def take() -> None:
            # Not take's own "wrap": it subtracts until the index fits, which for a wild one takes for ever.
            np.remainder(index[0], extent, out=within)
            data.take(within, axis, out, "clip")

        return take
    rows = spread(np.moveaxis(data, axis, 1), problems)
    target = np.moveaxis(out, range(axis, axis + index.ndim - 1), range(1, index.ndim))
    problem = np.arange(problems).reshape(problems, *(1,) * (index.ndim - 1))
    places = np.empty((problems, *index.shape[1:]), np.intp)

    def launch() -> None:
        np.remainder(index, extent, out=places)
        target[...] = rows[problem, places]

    return launch
