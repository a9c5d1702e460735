"""Conv and ConvTranspose: columns of windows in scratch, and one batched GEMM over problems, samples and groups.

The host runs these for small models; large convolutional models run as ONNX Runtime segments (DESIGN §4, Devices).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from treadle_agent.program.model import Attribute, Shape, TensorType
from treadle_agent.program.ops.launching import chain, given, int_of, shaped
from treadle_agent.program.ops.problems import part, pieces
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
from treadle_agent.program.ops.window import (
    Window,
    at,
    interior,
    padded_shape,
    window_of,
    windows_over,
)

_FLOAT = 4  # bytes


@operator("Conv", newest=22)
def _normalise_conv(node: Node) -> Canonical:
    data, weight = _checked(node)
    window = window_of(node.attributes, weight.shape[2:], data.shape[2:])
    attributes: dict[str, Attribute] = {"group": int(node.attributes.get("group", 1)), **window.attributes()}
    return Canonical("Conv", attributes, (0, 1, _bias(node)))


@operator("ConvTranspose", newest=22)
def _normalise_conv_transpose(node: Node) -> Canonical:
    data, weight = _checked(node)
    result = node.outputs[0]
    assert result is not None
    spatial, kernel_shape = data.shape[2:], weight.shape[2:]
    # What the full result (strides × (n − 1) + span + output_padding) has more than the declared one is cut off.
    plain = {name: value for name, value in node.attributes.items() if name not in {"pads", "auto_pad"}}
    window = window_of(plain, kernel_shape, spatial)
    extra = tuple(map(int, node.attributes.get("output_padding", (0,) * len(spatial))))
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    auto_pad = auto_pad.decode() if isinstance(auto_pad, bytes) else auto_pad
    if "output_shape" in node.attributes or auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        axes = zip(spatial, window.strides, window.span, extra, result.shape[2:], strict=True)
        totals = [max((n - 1) * s + span + e - o, 0) for n, s, span, e, o in axes]
        before = tuple(t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in totals)
    elif auto_pad == "VALID":
        before = (0,) * len(spatial)
    else:
        before = tuple(map(int, node.attributes.get("pads", (0,) * (2 * len(spatial)))))[: len(spatial)]
        if min(before, default=0) < 0:
            raise UnsupportedError(f"negative pads {before}")
    window = Window(kernel_shape, window.strides, window.dilations, before, (0,) * len(spatial))
    attributes: dict[str, Attribute] = {"group": int(node.attributes.get("group", 1)), **window.attributes()}
    return Canonical("ConvTranspose", attributes, (0, 1, _bias(node)))


def _checked(node: Node) -> tuple[TensorType, TensorType]:
    data, weight = node.types[:2]
    assert data is not None
    assert weight is not None
    if data.dtype != "float32":
        raise UnsupportedError(f"type {data.dtype}")
    return data, weight


def _bias(node: Node) -> int | None:
    return 2 if len(node.types) > 2 and node.types[2] is not None else None


@kernel("Conv")
@per_thread
def _bind_conv(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, weight, bias = given(inputs[0]), given(inputs[1]), inputs[2]
    out = outputs[0]
    window, groups = Window.read(attributes), int_of(attributes, "group")
    if bias is not None:
        bias = shaped(bias, (1, bias.shape[1], *(1,) * len(window.kernel)))
    if window.trivial:
        return _pointwise(groups, data, weight, bias, out)
    return _columns(window, groups, data, weight, bias, out)


def _pointwise(groups: int, data: Array, weight: Array, bias: Array | None, out: Array) -> Launch:
    """A 1×1 convolution is a GEMM on the input as it lies."""
    matrices = shaped(weight, (1, groups, out.shape[2] // groups, weight.shape[2]))
    points = math.prod(data.shape[3:])
    columns = shaped(data, (data.shape[1], groups, weight.shape[2], points))
    product = shaped(out, (out.shape[1], groups, out.shape[2] // groups, points))

    def launch() -> None:
        np.matmul(matrices, columns, product)
        if bias is not None:
            np.add(out, bias, out)

    return launch


def _columns(window: Window, groups: int, data: Array, weight: Array, bias: Array | None, out: Array) -> Launch:
    """Windows copied into columns (im2col), by pieces of problems, samples and output rows that fit the cache."""
    depth = math.prod(weight.shape[2:])  # input channels of a group × taps
    rest = math.prod(out.shape[4:])  # output elements of one row: of one step along the first spatial axis
    cuts = list(pieces((out.shape[0], out.shape[1], out.shape[3]), groups * depth * rest * _FLOAT))
    problems, samples, rows = (s.stop - s.start for s in cuts[0])
    filled = (problems, samples, groups, weight.shape[2])
    columns_shape = (*filled, *window.kernel, rows, *out.shape[4:])
    spatial = data.shape[3:]
    padded_spatial = padded_shape(window, spatial) if window.padded else (0,) * len(spatial)
    padded, columns = scratch((*filled, *padded_spatial), columns_shape)
    channels = out.shape[2] // groups

    def piece(p: slice, n: slice, r: slice) -> Launch:
        source = part(data, p)[:, n]
        source = shaped(source, (source.shape[1], *filled[2:], *spatial))
        count = (p.stop - p.start, n.stop - n.start, r.stop - r.start)
        prepare: Callable[[], None] | None = None
        if window.padded:
            source, prepare = _padding(window, source, padded[: count[0], : count[1]], again=r.start > 0)
        source = at(source, ..., slice(r.start * window.strides[0], None), *(slice(None) for _ in spatial[1:]))
        view = windows_over(source, window, (count[2], *out.shape[4:]))
        used = math.prod(count) * math.prod(columns_shape[2:]) // rows
        target = columns.ravel()[:used].reshape(*count[:2], *filled[2:], *window.kernel, count[2], *out.shape[4:])
        matrix = part(weight, p)
        matrix = shaped(matrix, (1, groups, channels, depth))
        flat = shaped(target, (count[1], groups, depth, count[2] * rest))
        block = out[p, n, :, r]
        product = shaped(block, (count[1], groups, channels, count[2] * rest))
        added = None if bias is None else part(bias, p)

        def launch() -> None:
            if prepare is not None:
                prepare()
            np.copyto(target, view)
            np.matmul(matrix, flat, product)
            if added is not None:
                np.add(block, added, block)

        return launch

    return chain(*[piece(*cut) for cut in cuts])


def _padding(window: Window, source: Array, padded: Array, *, again: bool) -> tuple[Array, Callable[[], None] | None]:
    """The padded copy of `source` and what fills it; nothing where the piece before has filled it already."""
    inside = at(padded, ..., *interior(window, source.shape[-len(window.kernel) :]))

    def prepare() -> None:
        padded.fill(0)
        np.copyto(inside, source)

    return padded, None if again else prepare


@kernel("ConvTranspose")
@per_thread
def _bind_conv_transpose(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """Products of every tap in columns, then added where each tap falls (col2im)."""
    data, weight, bias = given(inputs[0]), given(inputs[1]), inputs[2]
    out = outputs[0]
    window, groups = Window.read(attributes), int_of(attributes, "group")
    spatial = data.shape[3:]
    points, taps = math.prod(spatial), math.prod(window.kernel)
    depth, channels = weight.shape[1] // groups, weight.shape[2]
    # Output channels are cut inside a group, which is why groups come before them.
    cuts = list(pieces((out.shape[0], out.shape[1], groups, channels), taps * points * _FLOAT))
    block = tuple(s.stop - s.start for s in cuts[0])
    (columns,) = scratch((*block, *window.kernel, *spatial))
    grouped_data = shaped(data, (data.shape[1], groups, depth, points))
    grouped_weight = shaped(weight, (1, groups, depth, channels * taps))
    grouped_out = shaped(out, (out.shape[1], groups, channels, *out.shape[3:]))
    if bias is not None:
        bias = shaped(bias, (1, groups, channels, *(1,) * len(spatial)))

    def piece(p: slice, n: slice, g: slice, c: slice) -> Launch:
        count = tuple(s.stop - s.start for s in (p, n, g, c))
        matrix = part(grouped_weight, p)[:, :, g, :, c.start * taps : c.stop * taps].swapaxes(-1, -2)
        source = part(grouped_data, p)[:, n, g]
        tapped = columns.ravel()[: math.prod(count) * taps * points].reshape(*count, *window.kernel, *spatial)
        product = tapped.reshape(*count[:3], count[3] * taps, points)
        target = grouped_out[p, n, g, c]
        added = np.zeros((), np.float32) if bias is None else part(bias, p)[:, :, g, c]
        moves = [_landing(window, tap, spatial, target, tapped) for tap in window.taps()]

        def launch() -> None:
            np.matmul(matrix, source, product)
            np.copyto(target, added)
            for place, values in moves:
                np.add(place, values, place)

        return launch

    return chain(*[piece(*cut) for cut in cuts])


def _landing(window: Window, tap: Shape, spatial: Shape, target: Array, tapped: Array) -> tuple[Array, Array]:
    """Where a tap's products fall in the result, and those of them that fall inside."""
    places, values = [], []
    axes = zip(tap, window.dilations, window.strides, window.before, spatial, target.shape[4:], strict=True)
    for t, dilation, stride, before, size, limit in axes:
        start = t * dilation - before  # of input element 0; element i falls at start + i * stride
        first = max(0, -(start // stride))
        last = min(size, -((start - limit) // stride))
        last = max(first, last)
        values.append(slice(first, last))
        places.append(slice(start + first * stride, max(start + last * stride - stride + 1, 0), stride))
        if first == last:
            places[-1] = slice(0, 0)
    return at(target, ..., *places), at(tapped, *(slice(None),) * 4, *tap, *values)
