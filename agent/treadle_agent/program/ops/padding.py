"""Pad: constant, reflect, edge and wrap; negative pads crop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import chain, copy, given, ints, once
from treadle_agent.program.ops.reading import ANY, axis_of, operand, present, static_integers, text
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

_MODES = ("constant", "reflect", "edge", "wrap")


@operator("Pad", oldest=11, newest=25)
def _pad(node: Node) -> Canonical:
    """Of every type, modes constant, reflect, edge and wrap; pads and axes must be known at load."""
    shape = operand(node, 0, ANY).shape
    mode = text(node, "mode", "constant")
    if mode not in _MODES:
        raise UnsupportedError(f"attribute mode is {mode}; supported: {', '.join(_MODES)}")
    pads = static_integers(node, 1, "pads") or ()
    axes = static_integers(node, 3, "axes")
    places = range(len(shape)) if axes is None else [axis_of(axis, len(shape)) for axis in axes]
    before, after = [0] * len(shape), [0] * len(shape)
    for place, low, high in zip(places, pads[: len(places)], pads[len(places) :], strict=True):
        before[place], after[place] = low, high
    if mode != "constant" and any(
        low + high > 0 and extent == 0 for low, high, extent in zip(before, after, shape, strict=True)
    ):
        raise UnsupportedError(f"attribute mode is {mode}, but an axis that is padded has no element")
    fill = 2 if mode == "constant" and present(node, 2) else None
    return Canonical(
        "Pad",
        {"mode": mode, "before": tuple(before), "after": tuple(after)},
        (0, fill),
        view=not any((*before, *after)),
    )


@kernel("Pad")
@once
def _bind_pad(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, (out,) = given(inputs[0]), outputs
    before, after = ints(attributes, "before"), ints(attributes, "after")
    if attributes["mode"] == "constant":
        return _constant(source, inputs[1], before, after, out)
    steps: list[Launch] = []
    padded = [axis for axis, pads in enumerate(zip(before, after, strict=True), 1) if any(pads)]
    for axis in padded:
        places = np.arange(source.shape[axis])
        low, high = before[axis - 1], after[axis - 1]
        places = places[max(-low, 0) : source.shape[axis] - max(-high, 0)]
        places = np.pad(places, (max(low, 0), max(high, 0)), mode=attributes["mode"])  # type: ignore[call-overload]
        shape = (*source.shape[:axis], len(places), *source.shape[axis + 1 :])
        target = out if axis == padded[-1] and out.shape == shape else np.empty(shape, out.dtype)
        steps.append(partial(source.take, places, axis, target, "clip"))
        source = target
    if source is not out:
        steps.append(copy(source, out))
    return chain(*steps)


def _constant(source: Array, fill: Array | None, before: Sequence[int], after: Sequence[int], out: Array) -> Launch:
    value = np.zeros((), out.dtype) if fill is None else aligned(fill, out.ndim - 1)
    inner, taken = [slice(None)], [slice(None)]
    for low, high, extent in zip(before, after, source.shape[1:], strict=True):
        inner.append(slice(max(low, 0), max(low, 0) + max(extent + min(low, 0) + min(high, 0), 0)))
        taken.append(slice(max(-low, 0), max(extent + min(high, 0), -low, 0)))
    return chain(copy(value, out), copy(source[tuple(taken)], out[tuple(inner)]))
