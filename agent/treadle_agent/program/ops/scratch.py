"""Scratch memory of launches: one growing buffer a thread, shared by everything that is launched on that thread.

Bound launches are cached, so scratch of their own would multiply by the number of cached plans. Launches of a thread
run one after another, so all of them may use the same bytes, which also stay in the caches from one to the next:
nothing in scratch outlives one launch.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence

import numpy as np

from treadle_agent.program.model import ALIGNMENT, ITEM_BYTES, DType, Shape
from treadle_agent.program.ops.registry import Array, Attributes, Bind, Launch


class _Buffer(threading.local):
    """The thread's bytes. What it outgrew lives on while launches hold it: in all at most as much again."""

    def __init__(self) -> None:
        self.data = _bytes(0)


def _bytes(size: int) -> Array:
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


_BUFFER = _Buffer()


def scratch(*shapes: Shape, dtype: DType = "float32") -> tuple[Array, ...]:
    """Uninitialised C-order arrays that do not overlap each other, but do overlap those of any other call.

    Each starts at a multiple of ALIGNMENT. Called once, for all that a launch needs, by a bind that is `per_thread`.
    """
    sizes = [math.prod(shape) * ITEM_BYTES[dtype] for shape in shapes]
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    if end > _BUFFER.data.size:
        _BUFFER.data = _bytes(max(end, 2 * _BUFFER.data.size))
    data = _BUFFER.data
    return tuple(
        data[start : start + size].view(dtype).reshape(shape)
        for shape, start, size in zip(shapes, starts, sizes, strict=True)
    )


def per_thread(bind: Bind) -> Bind:
    """Let `bind` use `scratch`: its launch may run on any thread, and is bound again for each that runs it."""

    @functools.wraps(bind)
    def bind_for_threads(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
        # A thread that has ended may pass its identity on to a new one, and with it scratch that nobody else uses.
        identity = threading.get_ident
        bound = {identity(): bind(attributes, inputs, outputs)}

        def launch() -> None:
            here = bound.get(identity())
            if here is None:
                here = bound[identity()] = bind(attributes, inputs, outputs)
            here()

        return launch

    return bind_for_threads
