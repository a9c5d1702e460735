"""A program: an architecture's kernels with static shapes, apart from any tenant's weights (DESIGN §2, §4)."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

DType = Literal["float32", "int32", "int64", "bool", "uint8"]
Shape = tuple[int, ...]
# One tuple in the union: msgspec tells JSON arrays apart by their items only.
Attribute = int | float | str | bool | None | tuple[int | float | str, ...]

ITEM_BYTES: dict[DType, int] = {"float32": 4, "int32": 4, "int64": 8, "bool": 1, "uint8": 1}
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


class TensorType(msgspec.Struct, frozen=True, array_like=True):
    """Element type and static shape of one tensor; `nbytes` is its size without padding."""

    dtype: DType
    shape: Shape

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    @property
    def nbytes(self) -> int:
        """Bytes without padding."""
        return self.elements * ITEM_BYTES[self.dtype]


class Weight(msgspec.Struct, frozen=True, tag="w", array_like=True):
    """Operand that differs between tenants of one architecture: index into `Program.weights`, a column of the slab."""

    index: int


class Constant(msgspec.Struct, frozen=True, tag="c", array_like=True):
    """Operand that is part of the architecture: index into `Program.constants`."""

    index: int


class Activation(msgspec.Struct, frozen=True, tag="v", array_like=True):
    """Operand computed during the request: index into `Program.values`, a place in the arena slot."""

    index: int


Operand = Weight | Constant | Activation


class ConstantTensor(msgspec.Struct, frozen=True, array_like=True):
    """A small array of the structure (indices, shapes, folded scalars); `data` is little-endian C order."""

    type: TensorType
    data: bytes


class Kernel(msgspec.Struct, frozen=True):
    """One typed operation with static shapes (DESIGN §2).

    `op` is the operator's canonical name: differences between opset versions are normalised into `attributes`,
    which are sorted by name. A missing optional input is None.
    """

    op: str
    attributes: tuple[tuple[str, Attribute], ...]
    inputs: tuple[Operand | None, ...]
    outputs: tuple[int, ...]  # indices into Program.values


class Port(msgspec.Struct, frozen=True):
    """A named input or output of a program and the value that holds it."""

    name: str
    value: int


class Program(msgspec.Struct, frozen=True):
    """An architecture bound to static shapes: kernels in a topological order, and where each value lies in a slot.

    Two values may share an offset: because their lifetimes do not overlap, or because one is a view of the other
    (Reshape, Squeeze, Identity … cost no kernel).
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    values: tuple[TensorType, ...]
    offsets: tuple[int, ...]  # bytes from the slot's start, multiples of ALIGNMENT, one for each value
    arena_bytes: int  # size of one slot
    weights: tuple[TensorType, ...]
    constants: tuple[ConstantTensor, ...]
    kernels: tuple[Kernel, ...]

    @property
    def architecture(self) -> str:
        """Digest of everything above: equal for tenants whose models differ in weights only."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def type_of(self, operand: Operand) -> TensorType:
        """The type of any operand of this program."""
        match operand:
            case Weight(index):
                return self.weights[index]
            case Constant(index):
                return self.constants[index].type
            case Activation(index):
                return self.values[index]
