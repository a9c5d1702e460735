"""Where the problems of a super-kernel lie on the host, and which of them share a launch.

A bank has a slot for each row of a page of weights, and slot i goes with row i: whoever is merged today, a launch over
neighbouring rows is one that was bound before. Launches cover blocks of 1, 2, 4 … rows, aligned; the slots of absent
tenants inside one are computed too, where that takes less time than another launch would.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from treadle_agent.executor.slab import PAGE_ROWS

LARGEST_PADDING = 16.0  # problems that one more launch may be reckoned to cost: profiles are measured, and may err


class Block(NamedTuple):
    """One launch: `problems` neighbouring slots with as many neighbouring rows, or all with the same one (`alike`)."""

    slot: int
    row: int
    problems: int
    alike: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group's problems are: `slots` in the order of their rows, and the launches that cover them."""

    slots: Sequence[int]
    blocks: Sequence[Block]
    banks: Sequence[tuple[Hashable, int]]


class Banks:
    """The banks of a program. A group has its own as long as it is on the device; the lowest free ones are taken.

    `padding`: how many absent problems cost as much as one more launch.
    """

    def __init__(self, padding: float) -> None:
        self._padding = min(padding, LARGEST_PADDING)
        self._numbers = count()
        self._free: defaultdict[Hashable, list[int]] = defaultdict(list)  # by page, or None: problems with one row

    def take(self, rows: Sequence[int]) -> Place:
        """A slot for each row; a row that several problems share has banks of its own."""
        page = rows[0] // PAGE_ROWS
        begin = page * PAGE_ROWS
        if begin <= min(rows) <= max(rows) < begin + PAGE_ROWS and len(set(rows)) == len(rows):
            return self._take_page(rows, page)
        taken: list[tuple[Hashable, int]] = []
        blocks: list[Block] = []
        slots: dict[int, list[int]] = {}
        present: defaultdict[int, int] = defaultdict(int)
        for row, problems in Counter(rows).items():
            if problems == 1:
                present[row // PAGE_ROWS] |= 1 << row % PAGE_ROWS
                continue
            slots[row] = []
            for begin in range(0, problems, PAGE_ROWS):
                first = self._bank(None, taken)
                some = min(problems - begin, PAGE_ROWS)
                slots[row] += range(first + some - 1, first - 1, -1)
                blocks += (Block(first + start, row, size, alike=True) for start, size in _powers(some))
        for page, mask in present.items():
            first = self._bank(page, taken)
            _, covered = cover(mask, self._padding)
            blocks += (Block(first + start, page * PAGE_ROWS + start, size) for start, size in covered)
            slots.update((page * PAGE_ROWS + index, [first + index]) for index in range(PAGE_ROWS) if mask >> index & 1)
        return Place([slots[row].pop() for row in rows], blocks, taken)

    def _take_page(self, rows: Sequence[int], page: int) -> Place:
        """What `take` gives for different rows of one page, as they mostly are, in half the time."""
        taken: list[tuple[Hashable, int]] = []
        begin, first = page * PAGE_ROWS, self._bank(page, taken)
        _, covered = cover(sum([1 << row - begin for row in rows]), self._padding)
        blocks = [Block(first + start, begin + start, size) for start, size in covered]
        return Place([row - begin + first for row in rows], blocks, taken)

    def give(self, place: Place) -> None:
        """Give a group's banks back."""
        for kind, number in place.banks:
            heappush(self._free[kind], number)

    def _bank(self, kind: Hashable, taken: list[tuple[Hashable, int]]) -> int:
        """Take a bank; its first slot."""
        free = self._free[kind]
        number = heappop(free) if free else next(self._numbers)
        taken.append((kind, number))
        return number * PAGE_ROWS


def cover(present: int, padding: float, start: int = 0, size: int = PAGE_ROWS) -> tuple[float, list[tuple[int, int]]]:
    """The cheapest aligned blocks (first row, rows) over the rows whose bits are set, and what they cost in problems.

    One more launch costs as much as `padding` problems.
    """
    problems, half = present.bit_count(), size // 2
    whole = padding + size, [(start, size)]
    if problems == size:
        return whole
    low, high = present & (1 << half) - 1, present >> half
    if not high:
        return cover(low, padding, start, half)
    if not low:
        return cover(high, padding, start + half, half)
    if size - problems <= padding:
        return whole
    (one, left), (other, right) = cover(low, padding, start, half), cover(high, padding, start + half, half)
    return (one + other, left + right) if one + other < whole[0] else whole


def _powers(problems: int) -> Iterator[tuple[int, int]]:
    """Powers of two, largest first, that sum up to `problems`, each with what came before."""
    start = 0
    while start < problems:
        size = 1 << (problems - start).bit_length() - 1
        yield start, size
        start += size
