"""Operators that are a single NumPy ufunc over broadcast operands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.program.model import DType
from treadle_agent.program.ops.launching import call, given, negated
from treadle_agent.program.ops.reading import ANY, BOOLEAN, FLOAT, NUMERIC, SIGNED, operands
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Bind,
    Canonical,
    Launch,
    Node,
    Normalise,
    aligned,
    kernel,
    operator,
)


def _normalise(name: str, allowed: tuple[DType, ...]) -> Normalise:
    def normalise(node: Node) -> Canonical:
        return Canonical(name, {}, operands(node, allowed))

    normalise.__doc__ = f"Of {', '.join(allowed)}." if allowed != ANY else "Of every type."
    return normalise


def _bind(ufunc: np.ufunc) -> Bind:
    def bind(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        del attributes
        (out,) = outputs
        return call(ufunc, *(aligned(given(one), out.ndim - 1) for one in inputs), out=out)

    return bind


@kernel("Neg")
def _bind_neg(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    return negated(given(inputs[0]), outputs[0])


operator("Neg", oldest=6, newest=13)(_normalise("Neg", SIGNED))


# name, ufunc, element types of the inputs, since-versions in force from opset 11 on
for _name, _ufunc, _allowed, _oldest, _newest in (
    ("Abs", np.absolute, NUMERIC, 6, 13),
    ("Sign", np.sign, NUMERIC, 9, 13),
    ("Ceil", np.ceil, FLOAT, 6, 13),
    ("Floor", np.floor, FLOAT, 6, 13),
    ("Round", np.rint, FLOAT, 11, 22),
    ("Exp", np.exp, FLOAT, 6, 13),
    ("Log", np.log, FLOAT, 6, 13),
    ("Sqrt", np.sqrt, FLOAT, 6, 13),
    ("Reciprocal", np.reciprocal, FLOAT, 6, 13),
    ("Sin", np.sin, FLOAT, 7, 22),
    ("Cos", np.cos, FLOAT, 7, 22),
    ("Tanh", np.tanh, FLOAT, 6, 13),
    ("Not", np.logical_not, BOOLEAN, 1, 1),
    ("Add", np.add, NUMERIC, 7, 14),
    ("Sub", np.subtract, NUMERIC, 7, 14),
    ("Mul", np.multiply, NUMERIC, 7, 14),
    ("Equal", np.equal, ANY, 11, 19),
    ("Greater", np.greater, NUMERIC, 9, 13),
    ("GreaterOrEqual", np.greater_equal, NUMERIC, 12, 16),
    ("Less", np.less, NUMERIC, 9, 13),
    ("LessOrEqual", np.less_equal, NUMERIC, 12, 16),
    ("And", np.logical_and, BOOLEAN, 7, 7),
    ("Or", np.logical_or, BOOLEAN, 7, 7),
    ("Xor", np.logical_xor, BOOLEAN, 7, 7),
):
    operator(_name, oldest=_oldest, newest=_newest)(_normalise(_name, _allowed))
    kernel(_name)(_bind(_ufunc))
