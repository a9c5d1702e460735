"""Operators that only pick elements, and windows without weights: the C that computes element `i` of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from treadle_agent.executor.cuda.expressions import C_TYPES, literal
from treadle_agent.executor.cuda.operands import Layout, coordinate, strides
from treadle_agent.program.model import Kernel, Shape
from treadle_agent.program.ops.window import Window

Body = Callable[[Layout, Kernel], str]


def _ints(kernel: Kernel, name: str) -> tuple[int, ...]:
    return cast("tuple[int, ...]", dict(kernel.attributes)[name])


def _shapes(layout: Layout, kernel: Kernel) -> tuple[Shape, Shape]:
    source = kernel.inputs[0]
    assert source is not None
    return layout.program.type_of(source).shape, layout.program.values[kernel.outputs[0]].shape


def _picked(layout: Layout, kernel: Kernel, index: str) -> str:
    source = kernel.inputs[0]
    assert source is not None
    return layout.write(kernel.outputs[0], "i", layout.read(source, index))


def transpose(layout: Layout, kernel: Kernel) -> str:
    """Transpose."""
    given, shape = _shapes(layout, kernel)
    steps = strides(given)
    order = _ints(kernel, "perm")
    terms = [f"{coordinate('i', shape, axis)} * {steps[source]}" for axis, source in enumerate(order)]
    return _picked(layout, kernel, " + ".join(terms) or "0")


def tile(layout: Layout, kernel: Kernel) -> str:
    """Tile."""
    given, shape = _shapes(layout, kernel)
    steps = strides(given)
    terms = [f"{coordinate('i', shape, axis)} % {given[axis]} * {steps[axis]}" for axis in range(len(shape))]
    return _picked(layout, kernel, " + ".join(terms) or "0")


def slice_(layout: Layout, kernel: Kernel) -> str:
    """Slice."""
    given, shape = _shapes(layout, kernel)
    steps, starts, jumps = strides(given), _ints(kernel, "starts"), _ints(kernel, "steps")
    terms = [
        f"({starts[axis]} + {coordinate('i', shape, axis)} * ({jumps[axis]})) * {steps[axis]}"
        for axis in range(len(shape))
    ]
    return _picked(layout, kernel, " + ".join(terms) or "0")


def concat(layout: Layout, kernel: Kernel) -> str:
    """Concat."""
    shape = layout.program.values[kernel.outputs[0]].shape
    (axis,) = (cast("int", dict(kernel.attributes)["axis"]),)
    lines = [f"const long long along = {coordinate('i', shape, axis)};"]
    begin = 0
    inner = strides(shape)[axis]
    for source in kernel.inputs:
        assert source is not None
        extent = layout.program.type_of(source).shape[axis]
        if extent:
            # Flat index without the axis, then with the source's extent along it.
            index = f"(i / {inner * shape[axis]} * {extent} + along - {begin}) * {inner} + i % {inner}"
            store = layout.write(kernel.outputs[0], "i", layout.read(source, index))
            lines.append(f"if (along >= {begin} && along < {begin + extent}) {{ {store} }}")
        begin += extent
    return "\n".join(lines)


def gather(layout: Layout, kernel: Kernel) -> str:
    """Gather; an index outside is taken modulo the extent, as on the host."""
    data, places = kernel.inputs
    assert data is not None
    assert places is not None
    shape, index_shape = layout.program.type_of(data).shape, layout.program.type_of(places)
    axis = cast("int", dict(kernel.attributes)["axis"])
    inner, count, extent = strides(shape)[axis], index_shape.elements, shape[axis]
    wanted = layout.read(places, f"i / {inner} % {count}")
    picked = layout.read(data, f"(i / {inner * count} * {extent} + where) * {inner} + i % {inner}")
    return (
        f"const long long wanted = {wanted};\n"
        f"const long long where = (wanted % {extent} + {extent}) % {extent};\n"
        f"{layout.write(kernel.outputs[0], 'i', picked)}"
    )


def pool(layout: Layout, kernel: Kernel) -> str:
    """MaxPool and AveragePool over any number of axes."""
    (given, shape), attributes = _shapes(layout, kernel), dict(kernel.attributes)
    source, window = kernel.inputs[0], Window.read(attributes)
    assert source is not None
    dtype = layout.program.type_of(source).dtype
    average = kernel.op == "AveragePool"
    axes = range(len(window.kernel))
    steps = strides(given)
    planes = strides(shape)[1]
    neutral = "0" if dtype == "uint8" else literal(float("-inf"))
    lines = [f"{C_TYPES[dtype]} best = {'0.0f' if average else neutral};", "int taps = 0;"]
    for axis in axes:
        begin = f"{coordinate('i', shape, axis + 2)} * {window.strides[axis]} - {window.before[axis]}"
        lines.append(f"const long long begin{axis} = {begin};")
    lines += [f"for (int t{axis} = 0; t{axis} < {window.kernel[axis]}; ++t{axis}) {{" for axis in axes]
    for axis in axes:
        lines.append(f"const long long at{axis} = begin{axis} + t{axis} * {window.dilations[axis]};")
    counted, inside = [], []
    include = bool(attributes.get("count_include_pad"))
    declared = cast("tuple[int, ...]", attributes.get("declared_after", (0,) * len(axes)))
    for axis in axes:
        extent = given[axis + 2]
        inside.append(f"at{axis} >= 0 && at{axis} < {extent}")
        first, last = (-window.before[axis], extent + declared[axis]) if include else (0, extent)
        counted.append(f"at{axis} >= {first} && at{axis} < {last}")
    index = f"i / {planes} * {steps[1]}" + "".join(f" + at{axis} * {steps[axis + 2]}" for axis in axes)
    taken = layout.read(source, index)
    update = f"best += {taken};" if average else f"best = larger({taken}, best);"
    lines += [f"if ({' && '.join(counted)}) ++taps;", f"if ({' && '.join(inside)}) {update}", "}" * len(axes)]
    lines.append(layout.write(kernel.outputs[0], "i", "best / (float)taps" if average else "best"))
    return "\n".join(lines)


BODIES: dict[str, Body] = {
    "AveragePool": pool,
    "Concat": concat,
    "Gather": gather,
    "MaxPool": pool,
    "Slice": slice_,
    "Tile": tile,
    "Transpose": transpose,
}
