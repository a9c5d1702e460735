"""Offsets in an arena slot."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.program.arena import Life, lower_bound, padded, plan
from treadle_agent.program.model import ALIGNMENT

LIVES = st.lists(
    st.builds(
        lambda nbytes, first, length: Life(nbytes, first, first + length),
        st.integers(0, 5000),
        st.integers(-1, 30),
        st.integers(0, 10),
    ),
    max_size=40,
)


@given(LIVES)
def test_storages_alive_at_the_same_time_do_not_overlap(lives: list[Life]) -> None:
    placed = plan(lives)
    spans = [(offset, offset + padded(life.nbytes)) for offset, life in zip(placed.offsets, lives, strict=True)]
    for (one, span), (other, beside) in combinations(zip(lives, spans, strict=True), 2):
        if one.first <= other.last and other.first <= one.last:
            assert span[1] <= beside[0] or beside[1] <= span[0]
    assert all(offset % ALIGNMENT == 0 for offset in placed.offsets)
    assert all(end <= placed.arena_bytes for _, end in spans)
    assert placed.arena_bytes >= lower_bound(lives)


def test_a_chain_reuses_what_is_dead() -> None:
    # Four values of 1 KiB, each read by the next kernel only: two places are enough.
    lives = [Life(1024, first, first + 1) for first in range(4)]
    assert plan(lives).arena_bytes == 2048 == lower_bound(lives)


def test_a_gap_between_neighbours_is_used() -> None:
    lives = [Life(1024, 0, 9), Life(512, 0, 1), Life(256, 0, 9), Life(128, 2, 9)]
    placed = plan(lives)
    assert placed.offsets == (0, 1024, 1536, 1024)
    assert placed.arena_bytes == 1792


def test_an_empty_program_has_a_slot() -> None:
    assert plan([]).arena_bytes == ALIGNMENT
