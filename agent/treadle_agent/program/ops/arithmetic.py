"""Arithmetic that takes more than one ufunc: division of integers, powers, clipping, and folds of many operands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import call, chain, constant, copy, dtype_of, given
from treadle_agent.program.ops.reading import FLOAT, NUMERIC, SIGNED, operand, operands, present
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Bind,
    Canonical,
    Launch,
    Node,
    aligned,
    kernel,
    operator,
    scalar,
)
from treadle_agent.program.ops.scratch import per_thread, scratch


@operator("Div", oldest=7, newest=14)
def _div(node: Node) -> Canonical:
    """Of float32, int32, int64, uint8; integers are divided towards zero, and by zero give no error."""
    return Canonical("Div", {}, operands(node, NUMERIC))


@kernel("Div")
@per_thread
def _bind_div(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    dividend, divisor = (aligned(given(one), out.ndim - 1) for one in inputs)
    if out.dtype == np.float32:
        return call(np.divide, dividend, divisor, out=out)
    # ONNX truncates towards zero as C does; floor_divide rounds down, one too low where the signs differ.
    product, inexact, opposite = scratch(out.shape, out.shape, out.shape, dtype=dtype_of(out))
    zero = constant(0, out)
    return chain(
        call(np.floor_divide, dividend, divisor, out=out),
        call(np.multiply, out, divisor, out=product),
        call(np.not_equal, product, dividend, out=inexact),
        call(np.bitwise_xor, dividend, divisor, out=opposite),
        call(np.less, opposite, zero, out=opposite),
        call(np.bitwise_and, inexact, opposite, out=inexact),
        call(np.add, out, inexact, out=out),
    )


@operator("Pow", oldest=7, newest=15)
def _pow(node: Node) -> Canonical:
    """A float32, int32 or int64 to the power of any number; powers of integers go through float64."""
    operand(node, 0, SIGNED)
    exponent = operand(node, 1, NUMERIC)
    # A number without dimensions belongs to the structure. ONNX Runtime computes this one as a product, too.
    if exponent.shape == () and node.static[1] is not None and scalar(node.static[1]) == 2:
        return Canonical("Mul", {}, (0, 0))
    return Canonical("Pow", {}, (0, 1))


@kernel("Pow")
@per_thread
def _bind_pow(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    base, exponent = (aligned(given(one), out.ndim - 1) for one in inputs)
    # np.power takes another path (square, square root, reciprocal) where the exponent's stride is zero, as that of a
    # single element is for R = 1 and is not for more: over a full-sized exponent the bits do not depend on R.
    if out.dtype == np.float32:
        (powers,) = scratch(out.shape)
        return chain(copy(exponent, powers), call(np.power, base, powers, out=out))
    # Integers: a negative exponent is an error to np.power, and 0 or ±1 to C.
    bases, powers = np.empty((2, *out.shape))
    return chain(
        copy(exponent, powers), copy(base, bases), call(np.power, bases, powers, out=powers), copy(powers, out)
    )


@operator("Clip", oldest=11, newest=13)
def _clip(node: Node) -> Canonical:
    """Of float32, int32, int64, uint8; bounds may be computed at run time."""
    operand(node, 0, NUMERIC)
    bounds = tuple(index if present(node, index) else None for index in (1, 2))
    return Canonical("Clip", {}, (0, *bounds), view=bounds == (None, None))


@kernel("Clip")
def _bind_clip(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    value, low, high = (None if one is None else aligned(one, out.ndim - 1) for one in inputs)
    steps: list[Launch] = []
    if low is not None:
        steps.append(call(np.maximum, value, low, out=out))
        value = out
    if high is not None:
        steps.append(call(np.minimum, value, high, out=out))
    return chain(*steps) if steps else copy(given(value), out)


def _fold(ufunc: np.ufunc) -> Bind:
    """Apply a binary ufunc from left to right."""

    def bind(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        (out,) = outputs
        first, *rest = (aligned(given(one), out.ndim - 1) for one in inputs)
        if not rest:
            return copy(first, out)
        steps = [call(ufunc, first, rest[0], out=out), *(call(ufunc, out, one, out=out) for one in rest[1:])]
        if attributes.get("mean"):
            steps.append(call(np.divide, out, constant(len(inputs), out), out=out))
        return chain(*steps)

    return bind


kernel("Sum")(_fold(np.add))
kernel("Max")(_fold(np.maximum))
kernel("Min")(_fold(np.minimum))


@operator("Sum", "Mean", oldest=8, newest=13)
def _sum(node: Node) -> Canonical:
    single = len(node.types) == 1
    attributes = {"mean": True} if node.op == "Mean" and not single else {}
    return Canonical("Sum", attributes, operands(node, FLOAT), view=single)


@operator("Max", "Min", oldest=8, newest=13)
def _extremum(node: Node) -> Canonical:
    """Of float32, int32, int64, uint8."""
    return Canonical(node.op, {}, operands(node, NUMERIC), view=len(node.types) == 1)
