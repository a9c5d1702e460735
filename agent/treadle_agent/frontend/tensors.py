"""Tensor values between the wire and arrays: JSON lists and little-endian binary.

BYTES tensors are not served: no operator here computes on strings.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Any, cast

import msgspec
import numpy as np

from treadle_agent.frontend.errors import BadRequestError
from treadle_agent.program.model import DType, Shape
from treadle_agent.program.ops.registry import Array

Values = list[float] | list[int] | list[bool]
Source = Values | memoryview  # JSON values, or little-endian bytes


@dataclass(frozen=True, slots=True)
class Datatype:
    """An element type: its name in the protocol, and its `struct` code."""

    name: str
    code: str


DATATYPES: dict[DType, Datatype] = {
    "float32": Datatype("FP32", "f"),
    "int32": Datatype("INT32", "i"),
    "int64": Datatype("INT64", "q"),
    "bool": Datatype("BOOL", "?"),
    "uint8": Datatype("UINT8", "B"),
}


@lru_cache(maxsize=256)
def _decoder(code: str, depth: int) -> msgspec.json.Decoder[Any]:
    type_: Any = float if code == "f" else bool if code == "?" else int
    for _ in range(depth):
        type_ = list[type_]
    return msgspec.json.Decoder(type_)


def _depth(raw: memoryview) -> int:
    """How many lists are open when the first value begins."""
    depth = 0
    for byte in raw:
        if byte == 0x5B:  # [
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return depth


def parse_json(raw: msgspec.Raw, datatype: Datatype, shape: Shape) -> Values:
    """Decode a tensor's ``data``, flat or nested as its shape, to one flat list in row-major order.

    Raises:
        BadRequestError: wrong nesting, number or type of values. Whether numbers fit the type is seen by `fill`.
    """
    depth = _depth(memoryview(raw))
    if not depth or depth not in (1, len(shape)):
        raise BadRequestError(f"data must be one flat list, or lists nested as the shape {list(shape)}")
    try:
        values = _decoder(datatype.code, depth).decode(raw)
    except msgspec.MsgspecError as error:
        raise BadRequestError(f"data: {error}; expected {datatype.name} values") from None
    if depth > 1:
        values = _flatten(values, shape)
    check_count(values, shape)
    return cast("Values", values)


def check_count(values: Values, shape: Shape) -> None:
    """Raise BadRequestError unless there is a value for each element of the shape."""
    elements = prod(shape)
    if len(values) != elements:
        raise BadRequestError(f"data has {len(values)} values; shape {list(shape)} needs {elements}")


def _flatten(values: list[Any], shape: Shape) -> list[Any]:
    for length in shape[1:]:
        if any(len(part) != length for part in values):
            raise BadRequestError(f"data is not nested as its shape {list(shape)}: a list of {length} was expected")
        values = list(chain.from_iterable(values))
    return values


def fill(view: Array, source: Source, datatype: Datatype) -> None:
    """Write a tensor into a C-contiguous view of its shape.

    Raises:
        BadRequestError: a number does not fit the type.
    """
    if isinstance(source, memoryview):
        _fill_bytes(view, source, datatype)
    else:
        _fill_values(view, source, datatype)


def _fill_values(view: Array, values: Values, datatype: Datatype) -> None:
    try:  # twice as fast as NumPy's conversion of a list; little-endian codes refuse what does not fit, native "f" not
        struct.pack_into(f"<{len(values)}{datatype.code}", view.data, 0, *values)
    except (struct.error, OverflowError):
        raise BadRequestError(f"data has a number out of range for {datatype.name}") from None


def _fill_bytes(view: Array, source: memoryview, datatype: Datatype) -> None:
    if datatype.code == "?":  # any byte but 0 means true; an array must hold 0 and 1 only
        np.not_equal(np.frombuffer(source, np.uint8).reshape(view.shape), 0, out=view)
    else:
        view.data.cast("B")[:] = source


def list_values(view: Array) -> Values:
    """A tensor's values as one flat list in row-major order; the JSON encoder writes null for what is not finite."""
    return cast("Values", view.reshape(-1).tolist())
