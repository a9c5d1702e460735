"""Cast and CastLike between the element types that treadle knows."""

from __future__ import annotations

from collections.abc import Sequence

from treadle_agent.program.model import DType
from treadle_agent.program.ops.launching import copy, given
from treadle_agent.program.ops.reading import ANY, integer, operand, result
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

_ELEMENT_TYPES: dict[int, DType] = {
    1: "float32",
    2: "uint8",
    6: "int32",
    7: "int64",
    9: "bool",
}  # onnx.proto TensorProto


@operator("Cast", oldest=9, newest=28)
def _cast(node: Node) -> Canonical:
    """Between float32, int32, int64, uint8 and bool."""
    target = _ELEMENT_TYPES.get(integer(node, "to", 0))
    if target is None:
        raise UnsupportedError(f"attribute to is element type {integer(node, 'to', 0)}; supported: {', '.join(ANY)}")
    return Canonical("Cast", {}, (0,), view=operand(node, 0, ANY).dtype == target)


@operator("CastLike", oldest=15, newest=25)
def _cast_like(node: Node) -> Canonical:
    """Between float32, int32, int64, uint8 and bool."""
    return Canonical("Cast", {}, (0,), view=operand(node, 0, ANY).dtype == result(node).dtype)


@kernel("Cast")
def _bind_cast(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    return copy(given(inputs[0]), outputs[0])
