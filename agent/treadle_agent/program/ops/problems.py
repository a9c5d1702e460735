"""Handling the leading axis of problems: splitting work to bound scratch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from treadle_agent.program.ops.registry import Array

CACHE_BYTES = 1 << 20  # working set of one piece of work: about half of a core's second-level cache


def part(array: Array, problems: slice) -> Array:
    """The given problems of ``(R, *shape)``; a constant ``(1, *shape)`` belongs to all of them."""
    return array if array.shape[0] == 1 else array[problems]


def pieces(sizes: Sequence[int], item_bytes: int, budget: int | None = None) -> Iterator[tuple[slice, ...]]:
    """Cut the leading axes `sizes` into blocks of at most `budget` bytes, CACHE_BYTES if not given (at least one item).

    Inner axes are taken whole before outer ones are grouped, so how axis i is cut never depends on axes before it:
    the bits of a problem do not depend on how many there are.
    """
    if budget is None:
        budget = CACHE_BYTES
    blocks: list[int] = []
    for size in reversed(sizes):
        block = max(1, min(size, budget // max(item_bytes, 1)))
        blocks.insert(0, block)
        # An axis that is cut leaves no room for more than one item of the axes outside it.
        item_bytes = item_bytes * size if block == size else budget + 1
    axes = zip(sizes, blocks, strict=True)
    return itertools.product(*([slice(i, min(i + block, size)) for i in range(0, size, block)] for size, block in axes))
