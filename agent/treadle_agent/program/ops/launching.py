"""Small parts that `bind` functions put launches together from: chains, copies, views that are never copies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from treadle_agent.program.model import DType
from treadle_agent.program.ops.registry import Array, Attributes, Bind, Launch

# np.maximum and np.minimum deprecate a positional output; for the others the keyword costs a fifth of a small launch.
_KEYWORD_OUT = frozenset({"maximum", "minimum"})


def call(function: Callable[..., Any], *arguments: Any, out: Array) -> Launch:
    """A ufunc with its arguments and its output bound."""
    if getattr(function, "__name__", "") in _KEYWORD_OUT:
        return partial(function, *arguments, out=out)
    return partial(function, *arguments, out)


def copy(source: Array, out: Array) -> Launch:
    """Write `source`, broadcast and cast as needed, to `out` (item assignment is the cheapest of NumPy's ways)."""
    return partial(out.__setitem__, ..., source)


def chain(*launches: Launch) -> Launch:
    """One launch that runs all, in order."""
    if len(launches) == 1:
        return launches[0]

    def launch() -> None:
        for step in launches:
            step()

    return launch


def shaped(array: Array, shape: Sequence[int]) -> Array:
    """A view of `array` as ``(R, *shape)``; raises ValueError where NumPy would copy, as the copy would go stale."""
    view = array.reshape(array.shape[0], *shape)
    if array.size and not np.may_share_memory(view, array):
        raise ValueError(f"cannot view {array.shape} as {tuple(shape)} with strides {array.strides}")
    return view


def spread(array: Array, problems: int) -> Array:
    """View a constant ``(1, *shape)`` as ``(problems, *shape)``; for calls that do not broadcast by themselves."""
    return array if array.shape[0] == problems else np.broadcast_to(array, (problems, *array.shape[1:]))


def once(bind: Bind) -> Bind:
    """Let `bind` see operands of one problem when all are constants, and copy its results to the other problems.

    Besides the time it saves, a reduction over a broadcast axis 0 may be summed in another order.
    """

    @functools.wraps(bind)
    def bound(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        if outputs[0].shape[0] == 1 or any(one is not None and one.shape[0] > 1 for one in inputs):
            return bind(attributes, inputs, outputs)
        first = bind(attributes, inputs, [out[:1] for out in outputs])
        return chain(first, *(copy(out[:1], out[1:]) for out in outputs))

    return bound


def given(array: Array | None) -> Array:
    """An operand that `normalise` made sure of."""
    assert array is not None
    return array


def constant(value: float, like: Array) -> Array:
    """A 0-d array: ufuncs take it faster than a Python number."""
    return np.asarray(value, like.dtype)


def negated(source: Array, out: Array) -> Launch:
    """Write ``-source`` to `out`, by a product.

    np.negative (2.4.6, AVX-512) takes an input whose elements lie 4 float32 or 8 int64 apart for contiguous where the
    output is strided, and returns wrong numbers; one-element tensors in neighbouring slots look just so.
    """
    return call(np.multiply, source, constant(-1, out), out=out)


def dtype_of(array: Array) -> DType:
    """The element type of an operand."""
    return cast(DType, array.dtype.name)


def int_of(attributes: Attributes, name: str) -> int:
    """The integer attribute `name` of a canonical kernel."""
    value = attributes[name]
    assert isinstance(value, int)
    return value


def float_of(attributes: Attributes, name: str) -> float:
    """The float attribute `name` of a canonical kernel."""
    value = attributes[name]
    assert isinstance(value, (int, float))
    return float(value)


def ints(attributes: Attributes, name: str) -> tuple[int, ...]:
    """The attribute `name` of a canonical kernel, a list of integers."""
    value = attributes[name]
    assert isinstance(value, tuple)
    return tuple(int(item) for item in value)
