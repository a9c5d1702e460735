"""Handling the leading axis of problems: splitting work to bound scratch, or because it cannot be done as one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

from treadle_agent.program.ops.launching import chain
from treadle_agent.program.ops.registry import Array, Attributes, Bind, Launch

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


def constant_data_apart(bind: Bind) -> Bind:
    """Bind problem by problem where input 0 is a constant: a reduction over a broadcast axis 0 may be summed in another
    order. Models hardly ever do this, as what depends on constants alone is folded.
    """

    @functools.wraps(bind)
    def bound(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        count, data = outputs[0].shape[0], inputs[0]
        assert data is not None
        if count == 1 or data.shape[0] == count:
            return bind(attributes, inputs, outputs)
        launches = []
        for r in range(count):
            one = slice(r, r + 1)
            operands = [None if each is None else part(each, one) for each in inputs]
            launches.append(bind(attributes, operands, [out[one] for out in outputs]))
        return chain(*launches)

    return bound
