"""Tensors of many requests brought to their slots, and back, in one copy: by whole lines of ALIGNMENT bytes.

Blocks and slots begin at multiples of ALIGNMENT, and so does every tensor in them, padded to the next one. What is
copied beyond a tensor's end is padding on both sides, which nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from treadle_agent.program.model import ALIGNMENT
from treadle_agent.program.ops.registry import Array

LINE = np.dtype((np.void, ALIGNMENT))


@dataclass(frozen=True, slots=True)
class Ports:
    """The lines of a request's tensors: in its block, and in its slot."""

    block: Array
    slot: Array


def by_lines(memory: memoryview) -> Array:
    """The memory's whole lines, ``(len // ALIGNMENT,)``."""
    return np.frombuffer(memory, LINE, len(memory) // ALIGNMENT)


def lines_of(offsets: Iterable[int], sizes: Iterable[int]) -> Array:
    """The lines of tensors at these offsets, multiples of ALIGNMENT, with these sizes in bytes: all in one row."""
    spans = [
        np.arange(offset // ALIGNMENT, -(-(offset + size) // ALIGNMENT), dtype=np.intp)
        for offset, size in zip(offsets, sizes, strict=True)
    ]
    return np.concatenate(spans) if spans else np.zeros(0, np.intp)


def starts_of(offsets: Sequence[int]) -> Array:
    """The lines at which blocks or slots begin, ``(len, 1)``: to be added to what `lines_of` tells."""
    return np.array(offsets, np.intp).reshape(-1, 1) // ALIGNMENT
