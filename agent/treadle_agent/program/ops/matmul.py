"""MatMul and Gemm: one batched GEMM whose problems are the tenants' matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import call, chain, float_of, given, shaped
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


@operator("MatMul", newest=13)
def _normalise_matmul(node: Node) -> Canonical:
    left = node.types[0]
    assert left is not None
    if left.dtype not in {"float32", "int32", "int64"}:
        raise UnsupportedError(f"type {left.dtype}")
    return Canonical("MatMul", {}, (0, 1))


@operator("Gemm", oldest=7, newest=13)
def _normalise_gemm(node: Node) -> Canonical:
    left = node.types[0]
    assert left is not None
    if left.dtype != "float32":
        raise UnsupportedError(f"type {left.dtype}")
    beta = float(node.attributes.get("beta", 1.0))
    added = 2 if beta and len(node.types) > 2 and node.types[2] is not None else None
    attributes = {
        "alpha": float(node.attributes.get("alpha", 1.0)),
        "beta": beta if added is not None else 0.0,
        "trans_a": bool(node.attributes.get("transA", 0)),
        "trans_b": bool(node.attributes.get("transB", 0)),
    }
    return Canonical("Gemm", attributes, (0, 1, added))


@kernel("MatMul")
def _bind_matmul(_: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    a, b, out = given(inputs[0]), given(inputs[1]), outputs[0]
    if b.ndim == 2:
        b, out = b[:, :, None], out[..., None]
    if a.ndim == 2:
        a, out = a[:, None, :], np.expand_dims(out, -2)
    if b.ndim == 3 < a.ndim:
        rows = math.prod(a.shape[1:-1])
        a, out = shaped(a, (rows, a.shape[-1])), shaped(out, (rows, out.shape[-1]))
    rank = max(a.ndim, b.ndim) - 1
    return partial(np.matmul, aligned(a, rank), aligned(b, rank), out)


@kernel("Gemm")
def _bind_gemm(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    a, b, c, out = given(inputs[0]), given(inputs[1]), inputs[2], outputs[0]
    alpha, beta = np.float32(float_of(attributes, "alpha")), np.float32(float_of(attributes, "beta"))
    a = a.swapaxes(1, 2) if attributes["trans_a"] else a
    b = b.swapaxes(1, 2) if attributes["trans_b"] else b
    c = None if c is None else aligned(c, 2)
    if c is None:
        multiply = partial(np.matmul, a, b, out)
        return multiply if alpha == 1 else chain(multiply, call(np.multiply, out, alpha, out=out))
    if alpha == beta == 1:
        return partial(_multiply_add, a, b, c, out)
    # beta × (alpha / beta × AB + C) needs no memory for beta × C.
    steps = ((np.multiply, out, alpha / beta), (np.add, out, c), (np.multiply, out, beta))
    return chain(partial(np.matmul, a, b, out), *(call(function, x, y, out=out) for function, x, y in steps))


def _multiply_add(a: Array, b: Array, c: Array, out: Array) -> None:
    np.matmul(a, b, out)
    np.add(out, c, out)
