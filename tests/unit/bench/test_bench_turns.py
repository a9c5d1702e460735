"""The peers' bounded queue: first come, first served, and no more than may wait."""

import asyncio

import pytest

from treadle.bench.peers.turns import QueueFullError, Turns


def test_turns_are_taken_in_order_and_the_rest_is_refused():
    served, refused = [], []

    async def request(turns, number):
        try:
            await turns.take()
        except QueueFullError:
            refused.append(number)
        else:
            served.append(number)

    async def run():
        turns = Turns(20)
        await asyncio.gather(*(request(turns, number) for number in range(50)))
        await asyncio.gather(*(request(turns, number) for number in range(50, 60)))

    asyncio.run(run())
    assert served == [*range(20), *range(50, 60)]
    assert refused == list(range(20, 50))


def test_a_request_given_up_does_not_hold_the_queue():
    async def run():
        turns = Turns(1)
        gone = asyncio.ensure_future(turns.take())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await asyncio.wait_for(turns.take(), 1)

    asyncio.run(run())
