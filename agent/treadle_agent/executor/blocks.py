"""Blocks of a byte range, in constant time and without fragmentation that outlives the blocks.

Small blocks come in size classes, four to a doubling (at most a quarter is lost), carved from spans of one class;
large blocks are runs of whole chunks, first fit. A span whose blocks are all free stays with its class until memory
is short, so the hot path neither carves nor merges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from treadle_agent.executor.gateway import FullError, OversizeError
from treadle_agent.program.model import ALIGNMENT

CHUNK_BYTES = 65536
SMALLEST = 256
LARGEST_SMALL = 131072
BLOCKS_A_SPAN = 8  # at least: so a span's unused tail stays below an eighth of it


def _classes() -> tuple[int, ...]:
    sizes, size = [], SMALLEST
    while size < LARGEST_SMALL:
        sizes += [size + size * quarter // 4 for quarter in range(4)]
        size *= 2
    return (*sizes, LARGEST_SMALL)


CLASSES = _classes()
# From the size in units of ALIGNMENT, rounded up, to the class: one index instead of a search for every request.
_CLASS_OF = tuple(bisect_left(CLASSES, units * ALIGNMENT) for units in range(LARGEST_SMALL // ALIGNMENT + 1))


@dataclass(slots=True, eq=False)
class _Span:
    """Blocks of one class, in one run of chunks."""

    class_: int
    first: int  # chunk
    chunks: int
    capacity: int  # blocks
    free: list[int] = field(default_factory=list)  # offsets


@dataclass(slots=True, eq=False)
class _Run:
    """A large block: whole chunks."""

    first: int
    chunks: int


class BlockAllocator:
    """Hands out blocks of the bytes ``start`` (a multiple of ALIGNMENT) to ``end``.

    `in_use` counts bytes handed out, as rounded up to classes and chunks.
    """

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        chunks = (end - start) // CHUNK_BYTES
        self.capacity = chunks * CHUNK_BYTES
        self.in_use = 0
        self._free_first = [0] if chunks else []  # runs of free chunks, by address
        self._free_chunks = [chunks] if chunks else []
        self._partial: list[list[_Span]] = [[] for _ in CLASSES]  # spans with a free block
        self._live: dict[int, _Span | _Run] = {}

    def __len__(self) -> int:
        """Number of blocks handed out."""
        return len(self._live)

    def allocate(self, size: int) -> int:
        """Offset of a block of at least `size` bytes, a multiple of ALIGNMENT; raises FullError, OversizeError."""
        if size > LARGEST_SMALL:
            return self._allocate_run(size)
        class_ = _CLASS_OF[(size + ALIGNMENT - 1) // ALIGNMENT]
        partial = self._partial[class_]
        span = partial[-1] if partial else self._carve(class_)
        offset = span.free.pop()
        if not span.free:
            self._partial[class_].pop()  # not `partial`: carving may have replaced the list
        self._live[offset] = span
        self.in_use += CLASSES[class_]
        return offset

    def free(self, offset: int) -> None:
        """Take a block back; raises ValueError for an offset that is not handed out."""
        owner = self._live.pop(offset, None)
        if owner is None:
            raise ValueError(f"no block is handed out at offset {offset}")
        if isinstance(owner, _Run):
            self.in_use -= owner.chunks * CHUNK_BYTES
            self._give_back(owner.first, owner.chunks)
            return
        self.in_use -= CLASSES[owner.class_]
        owner.free.append(offset)
        if len(owner.free) == 1:
            self._partial[owner.class_].append(owner)

    def check(self, size: int) -> None:
        """Raise OversizeError where there is not that much memory even when nothing is in use."""
        if size > self.capacity:
            raise OversizeError(
                f"it needs {size} bytes for its tensors and its answer; the memory for all requests has {self.capacity}"
            )

    def _allocate_run(self, size: int) -> int:
        chunks = -(-size // CHUNK_BYTES)
        run = _Run(self._take(chunks), chunks)
        offset = self._start + run.first * CHUNK_BYTES
        self._live[offset] = run
        self.in_use += chunks * CHUNK_BYTES
        return offset

    def _carve(self, class_: int) -> _Span:
        size = CLASSES[class_]
        chunks = -(-size * BLOCKS_A_SPAN // CHUNK_BYTES)
        try:
            first = self._take(chunks)
        except FullError:  # what is left may still hold fewer blocks
            chunks = -(-size // CHUNK_BYTES)
            first = self._take(chunks)
        capacity = chunks * CHUNK_BYTES // size
        start = self._start + first * CHUNK_BYTES
        offsets = list(range(start + (capacity - 1) * size, start - 1, -size))  # lowest address first out
        span = _Span(class_, first, chunks, capacity, offsets)
        self._partial[class_].append(span)
        return span

    def _take(self, chunks: int) -> int:
        """The first chunk of a run, first fit."""
        first = self._first_fit(chunks)
        if first is None and self._reclaim():
            first = self._first_fit(chunks)
        if first is None:
            self.check(chunks * CHUNK_BYTES)
            raise FullError(
                f"the memory for requests is full: {chunks * CHUNK_BYTES} bytes asked for in one piece, "
                f"{self.in_use} of {self.capacity} in use"
            )
        return first

    def _first_fit(self, chunks: int) -> int | None:
        for index, available in enumerate(self._free_chunks):
            if available >= chunks:
                first = self._free_first[index]
                if available == chunks:
                    del self._free_first[index], self._free_chunks[index]
                else:
                    self._free_first[index] += chunks
                    self._free_chunks[index] -= chunks
                return first
        return None

    def _give_back(self, first: int, chunks: int) -> None:
        index = bisect_right(self._free_first, first)
        if index < len(self._free_first) and first + chunks == self._free_first[index]:
            chunks += self._free_chunks[index]
            del self._free_first[index], self._free_chunks[index]
        if index and self._free_first[index - 1] + self._free_chunks[index - 1] == first:
            self._free_chunks[index - 1] += chunks
            return
        self._free_first.insert(index, first)
        self._free_chunks.insert(index, chunks)

    def _reclaim(self) -> bool:
        """Give the spans without a block in use back to all classes; whether there were any."""
        found = False
        for class_, spans in enumerate(self._partial):
            kept = []
            for span in spans:
                if len(span.free) == span.capacity:
                    self._give_back(span.first, span.chunks)
                    found = True
                else:
                    kept.append(span)
            self._partial[class_] = kept
        return found
