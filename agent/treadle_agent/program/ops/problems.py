"""Handling the leading axis of problems: views that must not copy, and splitting work to bound scratch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from treadle_agent.program.ops.registry import Array, Launch

CACHE_BYTES = 1 << 20  # working set of one piece of work: about half of a core's second-level cache


def viewed(array: Array, *shape: int) -> Array:
    """Reshape without copying: axis 0 may have any stride, each problem is C-contiguous."""
    result = array.reshape(shape)
    assert array.size == 0 or np.may_share_memory(array, result), (array.shape, array.strides, shape)
    return result


def part(array: Array, problems: slice) -> Array:
    """The given problems of ``(R, *shape)``; a constant ``(1, *shape)`` belongs to all of them."""
    return array if array.shape[0] == 1 else array[problems]


def pieces(sizes: Sequence[int], item_bytes: int, budget: int = CACHE_BYTES) -> Iterator[tuple[slice, ...]]:
    """Cut the leading axes `sizes` into blocks of at most `budget` bytes (at least one item each).

    Inner axes are taken whole before outer ones are grouped, so how axis i is cut never depends on axes before it:
    the bits of a problem do not depend on how many there are.
    """
    blocks: list[int] = []
    for size in reversed(sizes):
        block = max(1, min(size, budget // max(item_bytes, 1)))
        blocks.insert(0, block)
        # An axis that is cut leaves no room for more than one item of the axes outside it.
        item_bytes = item_bytes * size if block == size else budget + 1
    axes = zip(sizes, blocks, strict=True)
    return itertools.product(*([slice(i, min(i + block, size)) for i in range(0, size, block)] for size, block in axes))


def sequence(launches: Sequence[Launch]) -> Launch:
    """One launch that runs `launches` in order."""
    if len(launches) == 1:
        return launches[0]

    def launch() -> None:
        for each in launches:
            each()

    return launch
