"""Pooling: a window is a box, so its maximum or sum is taken along one spatial axis after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from treadle_agent.program.model import Attribute
from treadle_agent.program.ops.launching import call, chain, given, shaped
from treadle_agent.program.ops.problems import constant_data_apart, part, pieces
from treadle_agent.program.ops.reading import FLOAT, integer, operand, result, text
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
from treadle_agent.program.ops.scratch import per_thread, scratch
from treadle_agent.program.ops.window import Window, at, interior, padded_shape, window_of


@operator("MaxPool", oldest=8, newest=22)
def _normalise_max_pool(node: Node) -> Canonical:
    if len(node.outputs) > 1 and node.outputs[1] is not None:
        raise UnsupportedError("output Indices")
    return Canonical("MaxPool", _covering(node, ("float32", "uint8"))[0].attributes(), (0,))


@operator("AveragePool", oldest=7, newest=22)
def _normalise_average_pool(node: Node) -> Canonical:
    window, declared = _covering(node, FLOAT)
    attributes: dict[str, Attribute] = {
        **window.attributes(),
        "declared_after": declared.after,
        "count_include_pad": bool(integer(node, "count_include_pad", 0)),
    }
    return Canonical("AveragePool", attributes, (0,))


@operator("GlobalAveragePool", "GlobalMaxPool", newest=22)
def _normalise_global(node: Node) -> Canonical:
    operand(node, 0, FLOAT)
    return Canonical(node.op, {}, (0,))


def _covering(node: Node, allowed: Sequence[str]) -> tuple[Window, Window]:
    """The window with its end padding such that the windows of the result just fit, and as the node declares it.

    The two differ with ceil_mode, and where the last elements are not covered by any window.
    """
    data = operand(node, 0, allowed)  # type: ignore[arg-type]
    spatial, count = data.shape[2:], result(node).shape[2:]
    declared = window_of(node.attributes, tuple(map(int, node.attributes["kernel_shape"])), spatial)
    axes = list(zip(spatial, count, declared.strides, declared.span, declared.before, strict=True))
    if text(node, "auto_pad", "NOTSET").startswith("SAME") and any((o - 1) * s + w < n for n, o, s, w, _ in axes):
        raise UnsupportedError("auto_pad SAME with strides beyond the window, for which the padding is negative")
    after = tuple(max((o - 1) * s + span - b - n, 0) for n, o, s, span, b in axes)
    return Window(declared.kernel, declared.strides, declared.dilations, declared.before, after), declared


@kernel("MaxPool")
@per_thread
def _bind_max_pool(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data = given(inputs[0])
    padding = -np.inf if data.dtype.kind == "f" else np.iinfo(data.dtype).min
    return _pooled(np.maximum, padding, Window.read(attributes), data, outputs[0])


@kernel("AveragePool")
@per_thread
def _bind_average_pool(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, out, window = given(inputs[0]), outputs[0], Window.read(attributes)
    declared_after = attributes["declared_after"]
    assert isinstance(declared_after, tuple)
    within = []  # for each axis: how many taps of each window count
    for axis, (size, count) in enumerate(zip(data.shape[3:], out.shape[3:], strict=True)):
        first, last = 0, size
        if attributes["count_include_pad"]:
            first, last = -window.before[axis], size + int(declared_after[axis])
        starts = np.arange(count) * window.strides[axis] - window.before[axis]
        taps = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        within.append(((taps >= first) & (taps < last)).sum(1))
    divisor = reduce(np.multiply.outer, within).astype(np.float32)
    return chain(_pooled(np.add, 0, window, data, out), call(np.divide, out, divisor, out=out))


def _pooled(combine: Callable[..., Array], padding: float, window: Window, data: Array, out: Array) -> Launch:
    """Reduce the windows of `data` with `combine`, for which `padding` is neutral, by pieces that fit the cache."""
    spatial, count = data.shape[3:], out.shape[3:]
    full = padded_shape(window, spatial)
    # The last axis goes first, as its taps are the short steps: shapes after each axis.
    stages = [(*full[:axis], *count[axis:]) for axis in range(len(count) - 1, 0, -1)]
    sizes = [math.prod(shape) for shape in (full, *stages)]
    cuts = list(pieces(out.shape[:3], sum(sizes) * data.dtype.itemsize))
    block = math.prod(s.stop - s.start for s in cuts[0])
    buffers = scratch(*((block * size,) for size in sizes), dtype="float32" if data.dtype.kind == "f" else "uint8")

    def piece(p: slice, n: slice, c: slice) -> Launch:
        lead = (p.stop - p.start, n.stop - n.start, c.stop - c.start)
        views = [
            buffer[: math.prod(lead) * size].reshape(*lead, *shape)
            for buffer, size, shape in zip(buffers, sizes, (full, *stages), strict=True)
        ]
        source = part(data, p)[:, n, c]
        steps: list[Launch] = []
        if window.padded or any(window.after):
            padded, inside = views[0], at(views[0], ..., *interior(window, spatial))

            def pad() -> None:
                padded.fill(padding)
                inside[...] = source

            steps.append(pad)
            taken = padded
        else:
            taken = source
        targets = [*views[1:], out[p, n, c]]
        for axis, target in zip(range(len(count) - 1, -1, -1), targets, strict=True):
            steps.append(_along(combine, window, axis, taken, target))
            taken = target
        return chain(*steps)

    return chain(*[piece(*cut) for cut in cuts])


def _along(combine: Callable[..., Array], window: Window, axis: int, source: Array, target: Array) -> Launch:
    """Combine the taps of windows along spatial `axis`."""
    length, stride, dilation = target.shape[3 + axis], window.strides[axis], window.dilations[axis]
    taps = []
    for tap in range(window.kernel[axis]):
        start = tap * dilation
        where = slice(start, start + (length - 1) * stride + 1, stride)
        taps.append(at(source, *(slice(None),) * (3 + axis), where))
    if len(taps) == 1:
        return lambda: np.copyto(target, taps[0])

    def launch() -> None:
        combine(taps[0], taps[1], out=target)
        for values in taps[2:]:
            combine(target, values, out=target)

    return launch


@kernel("GlobalMaxPool")
@constant_data_apart
def _bind_global_max(_: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    planes, means = _planes(given(inputs[0]), outputs[0])
    return lambda: np.maximum.reduce(planes, axis=-1, out=means)


@kernel("GlobalAveragePool")
@constant_data_apart
def _bind_global_average(_: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    planes, means = _planes(given(inputs[0]), outputs[0])
    size = np.float32(planes.shape[-1])

    def launch() -> None:
        np.add.reduce(planes, axis=-1, out=means)
        np.divide(means, size, means)

    return launch


def _planes(data: Array, out: Array) -> tuple[Array, Array]:
    return shaped(data, (*data.shape[1:3], math.prod(data.shape[3:]))), shaped(out, out.shape[1:3])
