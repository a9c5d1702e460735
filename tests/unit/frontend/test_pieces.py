"""Bodies in pieces: put together, or let go, in steps in between which the loop goes on."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from treadle_agent.frontend.pieces import STEP_BYTES, Pieces


def made(*sizes: int) -> tuple[Pieces, bytes]:
    pieces, body = Pieces(), b""
    for number, size in enumerate(sizes):
        piece = bytes([number % 251 + 1]) * size
        pieces.add(piece)
        body += piece
    return pieces, body


@pytest.mark.parametrize(
    "sizes",
    [(), (5,), (STEP_BYTES,), (STEP_BYTES, 1), (1, STEP_BYTES), (100_000,) * 11, (3 * STEP_BYTES,) * 2, (1,) * 5000],
    ids=range(8),
)
def test_they_become_the_body(sizes: tuple[int, ...]) -> None:
    pieces, body = made(*sizes)
    assert pieces.size == len(body)
    assert asyncio.run(pieces.join()) == body
    assert not pieces._pieces


def test_the_loop_goes_on_between_steps() -> None:
    async def turns(work: str) -> int:
        pieces, _ = made(*[65536] * 100)
        done = asyncio.create_task(pieces.join()) if work == "join" else pieces.let_go()
        for turn in itertools.count():
            if not pieces._pieces and (done is None or done.done()):
                return turn
            await asyncio.sleep(0)
        raise AssertionError

    steps = 100 * 65536 // STEP_BYTES
    for work in ("join", "let_go"):
        assert steps - 2 <= asyncio.run(turns(work)) <= steps + 3, work
