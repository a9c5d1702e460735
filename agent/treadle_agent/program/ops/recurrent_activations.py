"""Activation functions of recurrent operators, in place: ``function(x, y)`` turns x into f(x) with y as scratch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from treadle_agent.program.ops.registry import Array, UnsupportedError

InPlace = Callable[[Array, Array], object]

# Defaults of (alpha, beta), for those functions that take one: onnx.ai/onnx/operators, LSTM, "activation_alpha".
PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "relu": (None, None),
    "tanh": (None, None),
    "sigmoid": (None, None),
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, None),
    "softsign": (None, None),
    "softplus": (None, None),
}


def resolve(names: list[str], alphas: list[float], betas: list[float]) -> list[tuple[str, float, float]]:
    """(name, alpha, beta) of each activation; alphas and betas are given only for those that take them, in order.

    Raises UnsupportedError for a function that is not listed.
    """
    result = []
    left_alpha, left_beta = list(alphas), list(betas)
    for name in names:
        known = name.lower()
        if known not in PARAMETERS:
            raise UnsupportedError(f"activation {name}")
        alpha, beta = PARAMETERS[known]
        if alpha is not None and left_alpha:
            alpha = left_alpha.pop(0)
        if beta is not None and left_beta:
            beta = left_beta.pop(0)
        result.append((known, alpha or 0.0, beta or 0.0))
    return result


def activation(name: str, alpha: float, beta: float) -> InPlace:  # noqa: C901 - a table
    """The function `name` of `resolve`."""
    a, b = np.float32(alpha), np.float32(beta)
    match name:
        case "relu":
            return lambda x, _: np.maximum(x, 0, out=x)
        case "tanh":
            return lambda x, _: np.tanh(x, x)
        case "sigmoid":
            return _sigmoid
        case "affine":
            return lambda x, _: np.add(np.multiply(x, a, x), b, x)
        case "leakyrelu":
            return lambda x, y: np.copyto(x, np.multiply(x, a, y), where=x < 0)
        case "thresholdedrelu":
            return lambda x, _: np.copyto(x, 0, where=x <= a)
        case "scaledtanh":
            return lambda x, _: np.multiply(np.tanh(np.multiply(x, b, x), x), a, x)
        case "hardsigmoid":
            return lambda x, _: np.clip(np.add(np.multiply(x, a, x), b, x), 0, 1, out=x)
        case "elu":
            return lambda x, y: np.copyto(x, np.multiply(np.expm1(np.minimum(x, 0, out=y), y), a, y), where=x < 0)
        case "softsign":
            return lambda x, y: np.divide(x, np.add(np.abs(x, y), 1, y), x)
        case "softplus":
            return lambda x, _: np.logaddexp(x, np.float32(0), x)
        case _:
            raise AssertionError(name)


def _sigmoid(x: Array, _: Array) -> None:
    # One tanh never overflows, unlike exp.
    half = np.float32(0.5)
    np.multiply(x, half, x)
    np.tanh(x, x)
    np.multiply(x, half, x)
    np.add(x, half, x)
