"""Where each value of a program lies in an arena slot: lifetimes first, then greedy by size with first fit.

Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020), section 5: offsets chosen for
the largest value first, each at the lowest place that is free during its whole life.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treadle_agent.program.model import ALIGNMENT

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Life:
    """Storage of `nbytes` that is in use from kernel `first` to kernel `last`, both included.

    Inputs live from -1; outputs live until the number of kernels.
    """

    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Byte offsets in the order of the lives, and the bytes of one slot."""

    offsets: tuple[int, ...]
    arena_bytes: int


def plan(lives: Sequence[Life]) -> Plan:
    """Place storages so that no two that live at the same time overlap."""
    sizes = np.array([padded(life.nbytes) for life in lives], dtype=np.int64)
    firsts = np.array([life.first for life in lives], dtype=np.int64)
    lasts = np.array([life.last for life in lives], dtype=np.int64)
    offsets = np.full(len(lives), -1, dtype=np.int64)
    for index in sorted(range(len(lives)), key=lambda i: (-int(sizes[i]), lives[i].first, i)):
        beside = (offsets >= 0) & (firsts <= lasts[index]) & (lasts >= firsts[index])
        offsets[index] = _first_fit(offsets[beside], sizes[beside], int(sizes[index]))
    return Plan(tuple(map(int, offsets)), int((offsets + sizes).max(initial=ALIGNMENT)))


def lower_bound(lives: Sequence[Life]) -> int:
    """Bytes alive at the busiest kernel: no plan can be smaller."""
    change: dict[int, int] = {}
    for life in lives:
        change[life.first] = change.get(life.first, 0) + padded(life.nbytes)
        change[life.last + 1] = change.get(life.last + 1, 0) - padded(life.nbytes)
    alive = peak = 0
    for moment in sorted(change):
        alive += change[moment]
        peak = max(peak, alive)
    return peak


def padded(nbytes: int) -> int:
    """Bytes rounded up to the alignment; an empty tensor still has a place of its own."""
    return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT


def _first_fit(offsets: Offsets, sizes: Offsets, size: int) -> int:
    order = np.argsort(offsets, kind="stable")
    starts = offsets[order]
    # The end of everything placed below each neighbour: a gap begins there.
    floors = np.concatenate(([0], np.maximum.accumulate((offsets + sizes)[order])))
    gaps = np.flatnonzero(starts - floors[:-1] >= size)
    return int(floors[gaps[0]] if gaps.size else floors[-1])
