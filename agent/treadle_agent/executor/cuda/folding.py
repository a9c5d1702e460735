"""Operators that fold many elements into one: reductions, global pooling, softmax and layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from treadle_agent.executor.cuda.expressions import literal
from treadle_agent.executor.cuda.operands import Layout, broadcast, strides
from treadle_agent.executor.cuda.steps import Rows
from treadle_agent.program.model import Kernel, Operand, Shape

# name: how elements are combined, from what, an element's contribution, and what becomes of the result
_REDUCTIONS: dict[str, tuple[str, str, str, str]] = {
    "ReduceSum": ("Sum", "0.0f", "{x}", "{r}"),
    "ReduceMean": ("Sum", "0.0f", "{x}", "{r} / {n}.0f"),
    "ReduceProd": ("Product", "1.0f", "{x}", "{r}"),
    "ReduceMax": ("Largest", literal(float("-inf")), "{x}", "{r}"),
    "ReduceMin": ("Smallest", literal(float("inf")), "{x}", "{r}"),
    "ReduceL1": ("Sum", "0.0f", "fabsf({x})", "{r}"),
    "ReduceL2": ("Sum", "0.0f", "{x} * {x}", "sqrtf({r})"),
    "ReduceSumSquare": ("Sum", "0.0f", "{x} * {x}", "{r}"),
    "GlobalAveragePool": ("Sum", "0.0f", "{x}", "{r} / {n}.0f"),
    "GlobalMaxPool": ("Largest", literal(float("-inf")), "{x}", "{r}"),
}
FOLDING = frozenset({*_REDUCTIONS, "Softmax", "LogSoftmax", "LayerNormalization"})
_FLOATS_ONLY = "folds of {dtype} elements"


def refusal(layout: Layout, kernel: Kernel) -> str:
    """Why a folding kernel cannot run here, or ""."""
    source = _source(kernel)
    dtype = layout.program.type_of(source).dtype
    if dtype != "float32":
        return _FLOATS_ONLY.format(dtype=dtype)
    if kernel.op == "LayerNormalization" and len(kernel.outputs) > 1:
        return "outputs Mean and InvStdDev"
    return ""


def rows(name: str, layout: Layout, kernel: Kernel) -> Rows:
    """The generated kernel."""
    shape, attributes = layout.program.type_of(_source(kernel)).shape, dict(kernel.attributes)
    match kernel.op:
        case "GlobalAveragePool" | "GlobalMaxPool":
            axes: Sequence[int] = range(2, len(shape))
        case "LayerNormalization":
            axes = range(cast("int", attributes["axis"]), len(shape))
        case _:
            axes = cast("tuple[int, ...]", attributes["axes"])
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    count = _product(shape, axes)
    lines = [f"const long long base = {_spread('i', shape, kept)};"]
    element = f"base + {_spread('j', shape, list(axes))}"
    read = layout.read(_source(kernel), element)
    (out, *_) = kernel.outputs
    if kernel.op in _REDUCTIONS:
        how, neutral, contribution, result = _REDUCTIONS[kernel.op]
        lines.append(_fold("r", how, neutral, count, contribution.format(x=read)))
        store = layout.write(out, "i", result.format(r="r", n=count))
        lines.append(f"if (threadIdx.x == 0) {{ {store} }}")
    elif kernel.op == "LayerNormalization":
        lines += _layer(layout, kernel, read, element, count)
    else:
        lines.append(_fold("top", "Largest", literal(float("-inf")), count, read))
        lines.append(_fold("sum", "Sum", "0.0f", count, f"expf({read} - top)"))
        if kernel.op == "LogSoftmax":
            lines.append("const float shift = logf(sum);")
            value = f"{read} - top - shift"
        else:
            value = f"expf({read} - top) / sum"
        lines.append(_each(count, layout.write(out, element, value)))
    return Rows(name, _product(shape, kept), "\n".join(lines))


def _layer(layout: Layout, kernel: Kernel, read: str, element: str, count: int) -> list[str]:
    shape = layout.program.type_of(_source(kernel)).shape
    scale, bias = kernel.inputs[1], kernel.inputs[2]

    def wide(one: Operand) -> str:
        return layout.read(one, broadcast("place", shape, layout.program.type_of(one).shape))

    assert scale is not None
    epsilon = literal(float(cast("float", dict(kernel.attributes)["epsilon"])))
    value = f"({read} - mean) * inverse * {wide(scale)}" + (f" + {wide(bias)}" if bias is not None else "")
    return [
        _fold("total", "Sum", "0.0f", count, read),
        f"const float mean = total / {count}.0f;",
        _fold("squares", "Sum", "0.0f", count, f"({read} - mean) * ({read} - mean)"),
        f"const float inverse = 1.0f / sqrtf(squares / {count}.0f + {epsilon});",
        _each(count, f"const long long place = {element}; {layout.write(kernel.outputs[0], 'place', value)}"),
    ]


def _fold(name: str, how: str, neutral: str, count: int, contribution: str) -> str:
    return f"const float {name} = fold<{how}>({neutral}, {count}, [&](int j) {{ return {contribution}; }});"


def _each(count: int, statement: str) -> str:
    return f"for (int j = threadIdx.x; j < {count}; j += ROW_THREADS) {{ {statement} }}"


def _spread(index: str, shape: Shape, axes: Sequence[int]) -> str:
    """The part of a flat index into `shape` that the axes contribute, `index` counting through them in C order."""
    extents = tuple(shape[axis] for axis in axes)
    steps, inner = strides(shape), strides(extents)
    terms = []
    for place, axis in enumerate(axes):
        divided = f"{index} / {inner[place]}" if inner[place] > 1 else index
        terms.append(f"({divided} % {extents[place]}) * {steps[axis]}" if place else f"({divided}) * {steps[axis]}")
    return " + ".join(terms) or "0"


def _product(shape: Shape, axes: Sequence[int]) -> int:
    result = 1
    for axis in axes:
        result *= shape[axis]
    return result


def _source(kernel: Kernel) -> Operand:
    source = kernel.inputs[0]
    assert source is not None
    return source
