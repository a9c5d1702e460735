"""How `normalise` functions read a node: types, attributes and plumbing inputs, or an error that names the field."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from treadle_agent.program.model import DType, TensorType
from treadle_agent.program.ops.registry import Array, Node, UnsupportedError

FLOAT: tuple[DType, ...] = ("float32",)
SIGNED: tuple[DType, ...] = ("float32", "int32", "int64")
NUMERIC: tuple[DType, ...] = (*SIGNED, "uint8")
BOOLEAN: tuple[DType, ...] = ("bool",)
ANY: tuple[DType, ...] = (*NUMERIC, "bool")


def operand(node: Node, index: int, allowed: Iterable[DType]) -> TensorType:
    """The type of input `index`; raises UnsupportedError when it is missing or not of an allowed element type."""
    found = node.types[index] if index < len(node.types) else None
    if found is None:
        raise UnsupportedError(f"input {index} is missing")
    if found.dtype not in allowed:
        raise UnsupportedError(f"input {index} has type {found.dtype}; supported: {', '.join(allowed)}")
    return found


def operands(node: Node, allowed: Iterable[DType]) -> tuple[int, ...]:
    """The positions of all inputs, each of an allowed element type."""
    for index in range(len(node.types)):
        operand(node, index, allowed)
    return tuple(range(len(node.types)))


def present(node: Node, index: int) -> bool:
    """Whether the optional input `index` is given."""
    return index < len(node.types) and node.types[index] is not None


def asks(node: Node, index: int) -> bool:
    """Whether output `index` is asked for."""
    return index < len(node.outputs) and node.outputs[index] is not None


def result(node: Node, index: int = 0) -> TensorType:
    """The type of output `index`."""
    found = node.outputs[index] if index < len(node.outputs) else None
    if found is None:
        raise UnsupportedError(f"output {index} is not asked for, or its shape is not known")
    return found


def static(node: Node, index: int, name: str) -> Array | None:
    """The value of plumbing input `name`, None when it is omitted; raises UnsupportedError when not known at load."""
    if not present(node, index):
        return None
    value = node.static[index]
    if value is None:
        raise UnsupportedError(f"input {name} is computed at run time; it must be known at load")
    return value


def static_integers(node: Node, index: int, name: str) -> tuple[int, ...] | None:
    """As `static`, read as integers."""
    value = static(node, index, name)
    return None if value is None else tuple(int(item) for item in np.asarray(value).reshape(-1))


def integer(node: Node, name: str, default: int) -> int:
    """The integer attribute `name`."""
    return int(node.attributes.get(name, default))


def number(node: Node, name: str, default: float) -> float:
    """The float attribute `name`, rounded to float32 as ONNX stores it."""
    return float(np.float32(node.attributes.get(name, default)))


def integers(node: Node, name: str) -> tuple[int, ...] | None:
    """The attribute `name`, a list of integers, or None."""
    value = node.attributes.get(name)
    return None if value is None else tuple(int(item) for item in value)


def text(node: Node, name: str, default: str) -> str:
    """The string attribute `name`."""
    value = node.attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def tensor(node: Node, name: str) -> Array | None:
    """The tensor attribute `name`, an array or still a TensorProto."""
    value = node.attributes.get(name)
    if value is None or isinstance(value, np.ndarray):
        return value
    from onnx import numpy_helper  # the executor imports this module too, and never comes here

    return numpy_helper.to_array(value)


def axis_of(value: int, rank: int) -> int:
    """`value` counted from the front; raises UnsupportedError when it is outside [-rank, rank)."""
    if not -rank <= value < rank:
        raise UnsupportedError(f"axis {value} is outside a tensor of rank {rank}")
    return value % rank


def axes_of(values: Iterable[int], rank: int) -> tuple[int, ...]:
    """As `axis_of` for several axes, sorted, without repetition."""
    return tuple(sorted({axis_of(value, rank) for value in values}))
