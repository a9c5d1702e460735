"""The table of operators: how a node of any opset becomes a canonical kernel, and how that kernel runs on the host.

An operator is two functions.

`normalise(node)` reads one ONNX node, checks what it supports, and returns the canonical kernel: attributes that mean
the same for every opset version, and which inputs stay operands. It raises `UnsupportedError` otherwise.

`bind(attributes, inputs, outputs)` takes NumPy views with a leading axis of R problems — inputs ``(R, *shape)``, or
``(1, *shape)`` for constants — and pre-allocated outputs ``(R, *shape)``, and returns a callable without arguments
that computes all R problems in one go, writing every element of every output. What depends on shapes alone is done in
`bind`, once; the callable is the hot path. Problems must not influence each other, and the bits of problem r must
not depend on R, nor on the strides of axis 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle_agent.program.model import Attribute, TensorType

Array = npt.NDArray[Any]
Attributes = Mapping[str, Attribute]
Launch = Callable[[], object]
Bind = Callable[[Attributes, Sequence[Array | None], Sequence[Array]], Launch]


class UnsupportedError(Exception):
    """Raised when a node asks for something treadle does not execute; the message says what, in the field's words."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a checked ONNX graph whose shapes are static.

    `types[i]` is None for an omitted optional input; `static[i]` holds the value of an input that is known at load
    (an initializer or folded constant), else None. A float32 initializer is a tenant's weight: read its static value
    only where the operator needs a number to know its shapes or its attributes (Resize scales, Clip bounds may stay
    operands). `version` is the operator's since-version in the model's opset.
    """

    op: str
    version: int
    attributes: Mapping[str, Any]
    types: tuple[TensorType | None, ...]
    static: tuple[Array | None, ...]
    outputs: tuple[TensorType | None, ...]  # None where an optional output is not asked for


@dataclass(frozen=True, slots=True)
class Canonical:
    """The canonical kernel of a node: `operands` are positions of the node's inputs that stay operands, in order
    (None keeps a hole for an omitted optional one); everything else went into `attributes`.

    `view` is True when output 0 holds the bytes of operand 0 unchanged: the planner then makes it an alias.
    """

    op: str
    attributes: Mapping[str, Attribute]
    operands: tuple[int | None, ...]
    view: bool = False


Normalise = Callable[[Node], Canonical]


@dataclass(frozen=True, slots=True)
class Operator:
    """An entry of the table."""

    normalise: Normalise
    versions: range  # since-versions accepted; a newer, unknown one is refused rather than guessed


@dataclass(frozen=True, slots=True)
class Layout:
    """How a kernel likes some of its operands where all of them are known at load: with these axes of the file's.

    `attribute` tells the kernel so, by True.
    """

    operands: tuple[int, ...]
    axes: tuple[int, ...]
    attribute: str


NORMALISE: dict[str, Operator] = {}
BIND: dict[str, Bind] = {}
LAYOUT: dict[str, Layout] = {}


def operator(*names: str, newest: int, oldest: int = 1) -> Callable[[Normalise], Normalise]:
    """Register `normalise` for ONNX operators `names`, since-versions oldest..newest."""

    def register(normalise: Normalise) -> Normalise:
        for name in names:
            assert name not in NORMALISE, name
            NORMALISE[name] = Operator(normalise, range(oldest, newest + 1))
        return normalise

    return register


def kernel(*names: str) -> Callable[[Bind], Bind]:
    """Register `bind` for canonical kernels `names`."""

    def register(bind: Bind) -> Bind:
        for name in names:
            assert name not in BIND, name
            BIND[name] = bind
        return bind

    return register


def normalise(node: Node) -> Canonical:
    """Normalise any node; raises UnsupportedError with the reason."""
    entry = NORMALISE.get(node.op)
    if entry is None:
        raise UnsupportedError("operator not known")
    if node.version not in entry.versions:
        raise UnsupportedError(f"opset version {node.version} of the operator not known")
    return entry.normalise(node)


def aligned(array: Array, rank: int) -> Array:
    """View ``(R, *shape)`` as ``(R, 1, …, *shape)``, `rank` dimensions after R: NumPy then broadcasts as ONNX."""
    missing = rank - (array.ndim - 1)
    return array.reshape(array.shape[0], *([1] * missing), *array.shape[1:]) if missing else array


def scalar(value: Array) -> float | int | bool:
    """The Python scalar of a one-element array; raises ValueError otherwise."""
    return np.asarray(value).reshape(()).item()  # type: ignore[no-any-return]
