from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from treadle_agent.executor.blocks import CHUNK_BYTES, CLASSES, LARGEST_SMALL, BlockAllocator
from treadle_agent.executor.gateway import FullError, OversizeError
from treadle_agent.program.model import ALIGNMENT

START, END = CHUNK_BYTES, CHUNK_BYTES * 65
SIZES = st.one_of(st.integers(0, 4096), st.integers(0, LARGEST_SMALL), st.integers(LARGEST_SMALL, CHUNK_BYTES * 64))


class Blocks(RuleBasedStateMachine):
    """Random blocks never overlap, are aligned and inside, and all of the memory is whole again once all are free."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = BlockAllocator(START, END)
        self.live: dict[int, int] = {}

    @rule(size=SIZES, count=st.integers(1, 40))
    def allocate(self, size: int, count: int) -> None:
        for _ in range(count):
            try:
                offset = self.allocator.allocate(size)
            except FullError:
                assert self.allocator.in_use > 0
                return
            assert offset % ALIGNMENT == 0
            assert offset >= START
            assert offset + size <= END
            for other, length in self.live.items():
                assert offset + max(size, 1) <= other or other + max(length, 1) <= offset
            self.live[offset] = size

    @precondition(lambda self: self.live)
    @rule(data=st.data(), count=st.integers(1, 40))
    def free(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.live))):
            offset = data.draw(st.sampled_from(sorted(self.live)))
            self.allocator.free(offset)
            del self.live[offset]

    @rule()
    def free_all(self) -> None:
        for offset in self.live:
            self.allocator.free(offset)
        self.live.clear()
        assert self.allocator.in_use == 0
        whole = self.allocator.allocate(self.allocator.capacity)
        assert whole == START
        self.allocator.free(whole)

    @invariant()
    def counts(self) -> None:
        assert len(self.allocator) == len(self.live)
        assert self.allocator.in_use >= sum(self.live.values())


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=20)


@given(size=st.integers(1, LARGEST_SMALL))
def test_a_class_wastes_at_most_a_quarter(size: int) -> None:
    allocator = BlockAllocator(START, END)
    allocator.allocate(size)
    assert size <= allocator.in_use <= max(size * 5 / 4 + ALIGNMENT, CLASSES[0])


def fill(allocator: BlockAllocator, size: int) -> list[int]:
    offsets = []
    while True:
        try:
            offsets.append(allocator.allocate(size))
        except FullError:
            return offsets


def test_small_blocks_fill_most_of_the_memory() -> None:
    for size in CLASSES:
        allocator = BlockAllocator(START, END)
        fill(allocator, size)
        assert allocator.in_use >= 0.85 * allocator.capacity


def test_every_class_can_follow_every_other() -> None:
    """Memory that was full of one class serves any other once its blocks are free: spans do not stick to classes."""
    allocator = BlockAllocator(START, END)
    for size in [*CLASSES, CHUNK_BYTES * 32, *reversed(CLASSES)]:
        offsets = fill(allocator, size)
        assert allocator.in_use >= 0.85 * allocator.capacity
        for offset in offsets:
            allocator.free(offset)


def test_freeing_twice_is_an_error() -> None:
    allocator = BlockAllocator(START, END)
    small, large = allocator.allocate(100), allocator.allocate(CHUNK_BYTES * 3)
    for offset in (small, large):
        allocator.free(offset)
        with pytest.raises(ValueError, match="no block is handed out"):
            allocator.free(offset)


def test_more_than_there_is_names_the_numbers() -> None:
    allocator = BlockAllocator(START, END)
    with pytest.raises(OversizeError, match=rf"memory for all requests has {CHUNK_BYTES * 64}"):
        allocator.allocate(CHUNK_BYTES * 64 + 1)
    whole = allocator.allocate(CHUNK_BYTES * 64)
    with pytest.raises(OversizeError):
        allocator.allocate(CHUNK_BYTES * 64 + 1)
    with pytest.raises(FullError, match=rf"{CHUNK_BYTES * 64} of {CHUNK_BYTES * 64} in use") as caught:
        allocator.allocate(CHUNK_BYTES * 64)
    assert not isinstance(caught.value, OversizeError), "it will fit when the other has gone"
    allocator.free(whole)
