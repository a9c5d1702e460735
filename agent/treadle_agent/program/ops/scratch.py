"""Scratch memory of launches: one growing buffer a thread, shared by every launch bound on that thread.

Bound launches are cached, so scratch of their own would multiply by the number of cached plans. Launches of a thread
run one after another, so all of them may use the same bytes: nothing in scratch outlives one launch, and a launch must
run on the thread that bound it. Shared scratch also stays in the caches from one launch to the next.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from treadle_agent.program.model import ALIGNMENT, ITEM_BYTES, DType, Shape
from treadle_agent.program.ops.registry import Array


class _Buffer(threading.local):
    """The thread's bytes; outgrown buffers live on while launches bound to them do, in all no larger than the newest."""

    def __init__(self) -> None:
        self.data = _bytes(0)


def _bytes(size: int) -> Array:
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


_BUFFER = _Buffer()


def scratch(*shapes: Shape, dtype: DType = "float32") -> tuple[Array, ...]:
    """Uninitialised C-order arrays that do not overlap each other, but do overlap those of any other call.

    Each starts at a multiple of ALIGNMENT. A launch asks once, in `bind`, for all it needs.
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
