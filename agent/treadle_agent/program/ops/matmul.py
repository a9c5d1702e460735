"""MatMul and Gemm: one batched GEMM whose problems are the tenants' matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.problems import viewed
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
from treadle_agent.program.ops.scratch import scratch


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
    added = 2 if beta and len(node.types) > 2 and node.types[2] is not None else None  # noqa: PLR2004
    attributes = {
        "alpha": float(node.attributes.get("alpha", 1.0)),
        "beta": beta if added is not None else 0.0,
        "trans_a": bool(node.attributes.get("transA", 0)),
        "trans_b": bool(node.attributes.get("transB", 0)),
    }
    return Canonical("Gemm", attributes, (0, 1, added))


@kernel("MatMul")
def _bind_matmul(_: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    a, b = inputs
    out = outputs[0]
    assert a is not None
    assert b is not None
    if b.ndim == 2:  # noqa: PLR2004 - a vector on the right: a column, which the result loses again
        b, out = b[:, :, None], out[..., None]
    if a.ndim == 2:  # noqa: PLR2004 - a vector on the left: a row
        a, out = a[:, None, :], np.expand_dims(out, -2)
    if b.ndim == 3 < a.ndim:  # noqa: PLR2004 - one matrix on the right: the batch dimensions are only more rows
        rows = math.prod(a.shape[1:-1])
        a, out = viewed(a, a.shape[0], rows, a.shape[-1]), viewed(out, out.shape[0], rows, out.shape[-1])
    rank = max(a.ndim, b.ndim) - 1
    return partial(np.matmul, aligned(a, rank), aligned(b, rank), out)


@kernel("Gemm")
def _bind_gemm(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    a, b, c = inputs
    out = outputs[0]
    assert a is not None
    assert b is not None
    alpha, beta = np.float32(attributes["alpha"]), np.float32(attributes["beta"])  # type: ignore[arg-type]
    a = a.swapaxes(1, 2) if attributes["trans_a"] else a
    b = b.swapaxes(1, 2) if attributes["trans_b"] else b
    c = None if c is None else aligned(c, 2)
    if c is None and alpha == 1:
        return partial(np.matmul, a, b, out)
    if c is not None and alpha == beta == 1:
        return partial(_multiply_add, a, b, c, out)
    scaled = None if c is None else scratch(c.shape)[0]

    def launch() -> None:
        np.matmul(a, b, out)
        np.multiply(out, alpha, out)
        if scaled is not None:
            np.multiply(c, beta, scaled)
            np.add(out, scaled, out)

    return launch


def _multiply_add(a: Array, b: Array, c: Array, out: Array) -> None:
    np.matmul(a, b, out)
    np.add(out, c, out)
