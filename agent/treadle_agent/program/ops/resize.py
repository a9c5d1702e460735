"""Resize, nearest and linear: where each output element reads from is worked out in `bind`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from treadle_agent.program.model import Attribute
from treadle_agent.program.ops.launching import chain, given, shaped, spread
from treadle_agent.program.ops.reading import (
    ANY,
    axis_of,
    integer,
    integers,
    number,
    operand,
    present,
    result,
    static,
    text,
)
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

Floats = npt.NDArray[np.float32]

WHOLE = 1e-3  # scales are float32: what 1/3 of 9 may differ from 3
MODES = frozenset({"nearest", "linear"})
COORDINATES = frozenset(
    {
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_half_pixel_for_nn",
        "tf_crop_and_resize",
    }
)
ROUNDING = frozenset({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"})


@operator("Resize", oldest=11, newest=19)
def _normalise(node: Node) -> Canonical:
    data, out = operand(node, 0, ANY), result(node)
    mode = text(node, "mode", "nearest")
    coordinates = text(node, "coordinate_transformation_mode", "half_pixel")
    rounding = text(node, "nearest_mode", "round_prefer_floor")
    for name, value, known in (
        ("mode", mode, MODES),
        ("coordinate_transformation_mode", coordinates, COORDINATES),
        ("nearest_mode", rounding, ROUNDING),
    ):
        if value not in known:
            raise UnsupportedError(f"{name} {value}; supported: {', '.join(sorted(known))}")
    if mode == "linear" and data.dtype != "float32":
        raise UnsupportedError(f"mode linear of {data.dtype}; supported: float32")
    if integer(node, "antialias", 0):
        raise UnsupportedError("antialias")
    rank = len(data.shape)
    axes = tuple(axis_of(axis, rank) for axis in integers(node, "axes") or range(rank))
    scales = _scales(node, axes, data.shape)
    exact = (abs(n * scale - o) < WHOLE for n, scale, o in zip(data.shape, scales, out.shape, strict=True))
    if coordinates == "align_corners" and not all(exact):
        raise UnsupportedError("align_corners where scales give no whole size: ONNX and ONNX Runtime disagree on it")
    attributes: dict[str, Attribute] = {
        "mode": mode,
        "coordinates": coordinates,
        "rounding": rounding,
        "scales": scales,
    }
    if coordinates == "tf_crop_and_resize":
        attributes |= _crop(node, mode, axes, rank)
    return Canonical("Resize", attributes, (0,))


def _crop(node: Node, mode: str, axes: Sequence[int], rank: int) -> dict[str, Attribute]:
    region = static(node, 1, "roi")
    if region is None or region.size != 2 * len(axes):
        raise UnsupportedError("tf_crop_and_resize without an roi for each axis")
    if mode == "nearest":
        raise UnsupportedError("tf_crop_and_resize with mode nearest")
    starts, ends = [0.0] * rank, [1.0] * rank
    for position, axis in enumerate(axes):
        starts[axis], ends[axis] = float(region[position]), float(region[len(axes) + position])
    extrapolation = number(node, "extrapolation_value", 0.0)
    return {"starts": tuple(starts), "ends": tuple(ends), "extrapolation": extrapolation}


def _scales(node: Node, axes: Sequence[int], shape: Sequence[int]) -> tuple[float, ...]:
    """The scale of each axis: as given, or output over input size where sizes are given (policies included)."""
    scales = [1.0] * len(shape)
    values = static(node, 2, "scales") if present(node, 2) else None
    if values is not None and values.size:
        for axis, value in zip(axes, values.reshape(-1), strict=True):
            scales[axis] = float(value)
        return tuple(scales)
    sizes = static(node, 3, "sizes")
    if sizes is None:
        raise UnsupportedError("neither scales nor sizes")
    wanted = [int(value) for value in sizes.reshape(-1)]
    ratios = [np.float32(want) / np.float32(shape[axis]) for axis, want in zip(axes, wanted, strict=True)]
    policy = text(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        ratios = [(min if policy == "not_larger" else max)(ratios)] * len(ratios)
    for axis, ratio in zip(axes, ratios, strict=True):
        scales[axis] = float(ratio)
    return tuple(scales)


@kernel("Resize")
@per_thread
def _bind(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    data, out = given(inputs[0]), outputs[0]
    positions = [_positions(attributes, axis, n, o) for axis, (n, o) in enumerate(_sizes(data, out))]
    scales = cast("tuple[float, ...]", attributes["scales"])
    crops = attributes["coordinates"] == "tf_crop_and_resize"
    moved = [axis for axis, (n, o) in enumerate(_sizes(data, out)) if n != o or scales[axis] != 1]
    if not moved:
        return lambda: np.copyto(out, data)
    if attributes["mode"] == "nearest":
        rounding = str(attributes["rounding"])
        return _nearest(
            data, out, moved[0], [_rounded(rounding, p, n) for p, n in zip(positions, data.shape[1:], strict=True)]
        )
    resize = _linear(data, out, moved, positions)
    if not crops:
        return resize
    outside = np.zeros(out.shape[1:], bool)
    for axis in moved:  # as ONNX Runtime does: an axis that is not resized is not cropped either
        position, size = positions[axis], data.shape[1 + axis]
        beyond = (position < 0) | (position > size - 1)
        outside |= beyond.reshape(-1, *(1,) * (outside.ndim - 1 - axis))
    value = np.float32(cast("float", attributes["extrapolation"]))
    return chain(resize, lambda: np.copyto(out, value, where=outside))


def _sizes(data: Array, out: Array) -> list[tuple[int, int]]:
    return list(zip(data.shape[1:], out.shape[1:], strict=True))


def _positions(attributes: Attributes, axis: int, size: int, count: int) -> Floats:
    """The input coordinate of each of `count` outputs along an axis of `size` (onnx.ai/onnx/operators, Resize).

    In float32, as ONNX Runtime does: elsewhere nearest would break ties in another way.
    """
    scale = np.float32(cast("tuple[float, ...]", attributes["scales"])[axis])
    index = np.arange(count, dtype=np.float32)
    half, one = np.float32(0.5), np.float32(1)
    match attributes["coordinates"]:
        case "half_pixel":
            return (index + half) / scale - half
        case "half_pixel_symmetric":
            adjustment = np.float32(count) / (scale * np.float32(size))
            offset = np.float32(size) / 2 * (one - adjustment)
            return offset + (index + half) / scale - half
        case "pytorch_half_pixel":
            return (index + half) / scale - half if count > 1 else np.zeros(1, np.float32)
        case "align_corners":
            return index * np.float32(size - 1) / np.float32(count - 1) if count > 1 else np.zeros(1, np.float32)
        case "asymmetric":
            return index / scale
        case "tf_half_pixel_for_nn":
            return (index + half) / scale
        case _:
            start = np.float32(cast("tuple[float, ...]", attributes["starts"])[axis])
            end = np.float32(cast("tuple[float, ...]", attributes["ends"])[axis])
            last = np.float32(size - 1)
            if count > 1:
                return start * last + index * (end - start) * last / np.float32(count - 1)
            return np.full(1, half * (start + end) * last)


def _rounded(rounding: str, positions: Floats, size: int) -> npt.NDArray[np.intp]:
    match rounding:
        case "round_prefer_floor":
            found = np.ceil(positions - np.float32(0.5))
        case "round_prefer_ceil":
            found = np.floor(positions + np.float32(0.5))
        case "floor":
            found = np.floor(positions)
        case _:
            found = np.ceil(positions)
    clipped: npt.NDArray[np.intp] = np.clip(found, 0, size - 1).astype(np.intp)
    return clipped


def _nearest(data: Array, out: Array, first: int, indices: Sequence[npt.NDArray[np.intp]]) -> Launch:
    """One gather over all axes from `first` on, laid out flat."""
    grid = np.ix_(*indices[first:])
    flat = np.ravel_multi_index(grid, data.shape[1 + first :]).reshape(-1)
    lead = math.prod(data.shape[1 : 1 + first])
    source, target = shaped(data, (lead, math.prod(data.shape[1 + first :]))), shaped(out, (lead, flat.size))
    return chain(*(_gather(x, y, flat, 1) for x, y in zip(spread(source, len(out)), target, strict=True)))


def _gather(source: Array, target: Array, index: npt.NDArray[np.intp], axis: int) -> Launch:
    # With mode "clip" NumPy gathers straight into a contiguous target; with "raise" it would buffer.
    return lambda: source.take(index, axis, target, "clip")


def _linear(data: Array, out: Array, moved: Sequence[int], positions: Sequence[Floats]) -> Launch:
    """Interpolate along one axis after the other, the ones that shrink the tensor most first."""
    order = sorted(moved, key=lambda axis: out.shape[1 + axis] / data.shape[1 + axis])
    shapes = [data.shape[1:]]
    for axis in order:
        shapes.append((*shapes[-1][:axis], out.shape[1 + axis], *shapes[-1][axis + 1 :]))
    largest = max(map(math.prod, shapes[1:]))
    spare, *between = scratch(*[(largest,)] * 3)

    def problem(source: Array, target: Array) -> Launch:
        steps: list[Launch] = []
        for step, axis in enumerate(order):
            shape = shapes[step + 1]
            place = target if step == len(order) - 1 else between[step % 2][: math.prod(shape)].reshape(shape)
            steps.append(_interpolate(source, place, spare[: math.prod(shape)].reshape(shape), axis, positions[axis]))
            source = place
        return chain(*steps)

    return chain(*(problem(x, y) for x, y in zip(spread(data, len(out)), out, strict=True)))


def _interpolate(source: Array, target: Array, spare: Array, axis: int, positions: Floats) -> Launch:
    size = source.shape[axis]
    inside = np.clip(positions, 0, size - 1)
    low = np.floor(inside).astype(np.intp)
    high = np.minimum(low + 1, size - 1)
    weight = (inside - low).astype(np.float32).reshape(-1, *(1,) * (source.ndim - 1 - axis))

    def launch() -> None:
        source.take(low, axis, target, "clip")
        source.take(high, axis, spare, "clip")
        np.subtract(spare, target, spare)
        np.multiply(spare, weight, spare)
        np.add(target, spare, target)

    return launch
