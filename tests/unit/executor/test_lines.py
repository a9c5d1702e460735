"""Whole lines of memory: which ones a tensor lies in, and that a copy moves these and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.lines import by_lines, lines_of, starts_of


@pytest.mark.parametrize(
    ("offsets", "sizes", "lines"),
    [
        ([0], [64], [0]),
        ([0], [65], [0, 1]),
        ([128, 0], [1, 128], [2, 0, 1]),
        ([64, 64], [0, 4], [1]),
        ([], [], []),
    ],
)
def test_the_lines_of_tensors(offsets: list[int], sizes: list[int], lines: list[int]) -> None:
    assert lines_of(offsets, sizes).tolist() == lines


def test_what_is_left_of_a_last_line_is_none() -> None:
    assert by_lines(memoryview(bytearray(64 * 3 + 63))).shape == (3,)


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(1, 128))
def test_a_copy_moves_each_tensor_to_its_place(sources: list[int], targets: list[int], size: int) -> None:
    random = np.random.default_rng(0)
    here, there = random.integers(0, 256, 8 * 192, np.uint8), np.zeros(8 * 256, np.uint8)
    begins, ends = [192 * one for one in sources], [256 * one for one in targets]
    by_lines(there.data)[starts_of(ends) + lines_of([128], [size])] = by_lines(here.data)[
        starts_of(begins) + lines_of([64], [size])
    ]
    expected = np.zeros_like(there)
    whole = -(-size // 64) * 64
    for begin, end in zip(begins, ends, strict=True):
        expected[end + 128 : end + 128 + whole] = here[begin + 64 : begin + 64 + whole]
    assert there.tobytes() == expected.tobytes()
