"""Erf and Gelu. NumPy has no error function, and SciPy is too much for one: ``erf(x) = tanh(x * P(x²))``.

That form is how Gelu's own tanh approximation came about (Hendrycks & Gimpel 2016, arXiv:1606.08415, §2, a P of two
terms). Here P is a minimax fit of ``atanh(erf(x)) / x`` over |x| <= 4 by a polynomial of degree 6 in x², weighted by
the error it leaves in erf (iteratively reweighted least squares on Chebyshev polynomials). Its error is 1e-7 in exact
arithmetic, 2e-7 in float32, and relative to erf 3e-7; beyond |x| = 4 erf is ±1 in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import call, chain, constant, given
from treadle_agent.program.ops.reading import FLOAT, operands, text
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

_LIMIT = 4.0
_COEFFICIENTS = (  # of P, from the constant (2/√π) up
    1.128379225730896,
    0.10276905447244644,
    -0.0001918308698805049,
    -0.0006197846378199756,
    8.763730875216424e-05,
    -5.6684725677769165e-06,
    1.4185206964612007e-07,
)
_TANH_COEFFICIENTS = (math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi))  # ONNX Gelu, approximate="tanh"


def _tanh_of_odd(source: Array, coefficients: Sequence[float], out: Array, square: Array) -> list[Launch]:
    """``tanh(x * P(x²))``; neither `source` nor `square`, which is room for x², may be `out`."""
    *lower, highest = coefficients
    steps = [
        call(np.multiply, source, source, out=square),
        call(np.multiply, square, constant(highest, out), out=out),
    ]
    for place, coefficient in enumerate(reversed(lower)):
        if place:
            steps.append(call(np.multiply, out, square, out=out))
        steps.append(call(np.add, out, constant(coefficient, out), out=out))
    return [*steps, call(np.multiply, out, source, out=out), call(np.tanh, out, out=out)]


def _erf_steps(source: Array, out: Array, clipped: Array, square: Array) -> list[Launch]:
    """The error function; `clipped`, which may be `source`, and `square` are room for intermediate results."""
    return [
        call(np.minimum, source, constant(_LIMIT, out), out=clipped),
        call(np.maximum, clipped, constant(-_LIMIT, out), out=clipped),
        *_tanh_of_odd(clipped, _COEFFICIENTS, out, square),
    ]


@operator("Erf", oldest=9, newest=13)
def _erf(node: Node) -> Canonical:
    return Canonical("Erf", {}, operands(node, FLOAT))


@kernel("Erf")
@per_thread
def _bind_erf(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    return chain(*_erf_steps(given(inputs[0]), out, *scratch(out.shape, out.shape)))


@operator("Gelu", oldest=20, newest=20)
def _gelu(node: Node) -> Canonical:
    """Exact and by tanh."""
    approximate = text(node, "approximate", "none")
    if approximate not in {"none", "tanh"}:
        raise UnsupportedError(f"attribute approximate is {approximate}; supported: none, tanh")
    return Canonical("Gelu", {"approximate": approximate}, operands(node, FLOAT))


@kernel("Gelu")
@per_thread
def _bind_gelu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """``x / 2 * (1 + f(x))`` with f(x) = erf(x / √2), or its approximation by tanh."""
    source, (out,) = given(inputs[0]), outputs
    half, square = scratch(out.shape, out.shape)
    if attributes["approximate"] == "tanh":
        steps = _tanh_of_odd(source, _TANH_COEFFICIENTS, out, square)
    else:
        steps = [
            call(np.multiply, source, constant(math.sqrt(0.5), out), out=half),
            *_erf_steps(half, out, half, square),
        ]
    return chain(
        *steps,
        call(np.add, out, constant(1, out), out=out),
        call(np.multiply, source, constant(0.5, out), out=half),
        call(np.multiply, out, half, out=out),
    )
