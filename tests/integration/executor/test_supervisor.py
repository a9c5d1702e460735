from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from worker_double import SLOW, SLOW_SECONDS

from treadle_agent.executor.gateway import FullError, GoneError, OversizeError, RefusedError
from treadle_agent.executor.protocol import Outcome
from treadle_agent.executor.supervisor_settings import SupervisorSettings


def test_answers_go_to_whom_they_belong(house) -> None:
    async def body(house) -> None:
        tenants = await asyncio.gather(house.load("one"), house.load("two"), house.load("three"))
        asks = [house.ask(served, value, rows=1 + value % 3) for value in range(100) for served in tenants]
        assert all(done.outcome == Outcome.DONE for done in await asyncio.gather(*asks))

    house(body)


def test_ten_thousand_calls_leave_no_block(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        before = await house.counters()
        for _ in range(100):
            await asyncio.gather(*(house.ask(served, value, rows=1 + value % 7) for value in range(100)))
        after = await house.counters()
        assert (after["blocks"], after["block_bytes"], after["pending"]) == (0, 0, 0)
        assert before == after

    house(body)


def test_shapes_are_compiled_once_for_all_rows_and_waiters(house) -> None:
    async def body(house) -> None:
        served = await house.load("free", shape=(-1, -1))
        assert not house.supervisor.bound(served, ((5, 8),))
        with pytest.raises(KeyError):
            house.supervisor.open(served, ((5, 8),))
        await asyncio.gather(*(house.supervisor.bind(served, ((rows, 8),)) for rows in (5, 6, 7)))
        assert house.compiled == [((1, 8),)]
        assert house.supervisor.bound(served, ((9, 8),))
        call = house.supervisor.open(served, ((9, 8),))
        call.inputs[0][:] = np.arange(72).reshape(9, 8)
        done = await house.supervisor.answer(call, time.monotonic() + 5)
        assert done.outcome == Outcome.DONE
        np.testing.assert_array_equal(call.outputs[0], np.arange(72).reshape(9, 8) * 2 + served.version.id)
        call.release()
        for wrong, message in {
            ((5, 8, 1),): r"input x: shape \[5, 8, 1\] does not fit \[-1, -1\]",
            ((0, 8),): r"shape \[0, 8\]",
            ((5, 8), (5, 8)): "2 inputs, the model takes 1",
        }.items():
            with pytest.raises(RefusedError, match=message):
                await house.supervisor.bind(served, wrong)

    house(body)


def test_bindings_are_bounded_and_reused(house) -> None:
    async def body(house) -> None:
        served = await house.load("free", shape=(-1, -1))

        async def ask(width: int) -> None:
            await house.supervisor.bind(served, ((2, width),))
            call = house.supervisor.open(served, ((2, width),))
            call.inputs[0][:] = width
            done = await house.supervisor.answer(call, time.monotonic() + 5)
            assert done.outcome == Outcome.DONE
            np.testing.assert_array_equal(call.outputs[0], np.full((2, width), width * 2 + served.version.id))
            call.release()

        for width in (*range(1, 13), 12, 11, 1):
            await ask(width)
        assert [shapes[0][1] for shapes in house.compiled] == [*range(1, 13), 1]
        held = []
        for width in (20, 21, 22, 23):
            await house.supervisor.bind(served, ((1, width),))
            held.append(house.supervisor.open(served, ((1, width),)))
        with pytest.raises(FullError, match="different input shapes"):
            await house.supervisor.bind(served, ((1, 24),))
        for call in held:
            call.release()
        await ask(24)
        assert (await house.supervisor.statistics())["bindings"] == 4

    house(body, SupervisorSettings(memory_bytes=1 << 20, bindings=4))


def test_new_shapes_wait_in_a_bounded_line_of_their_own(house) -> None:
    async def body(house) -> None:
        house.slow |= {1, 2, 3}
        served, gone = await house.load("free", shape=(-1, -1)), await house.load("gone", shape=(-1, -1))
        try:
            waiting = [asyncio.create_task(house.supervisor.bind(served, ((1, width),))) for width in (1, 2, 1)]
            late = asyncio.create_task(house.supervisor.bind(gone, ((1, 3),)))
            await house.until(lambda: len(house.compiled) == 2)
            with pytest.raises(FullError, match="still being compiled"):
                await house.supervisor.bind(served, ((1, 4),))
            with pytest.raises(FullError, match="too many requests wait"):
                await house.supervisor.bind(served, ((1, 2),))
            assert (await house.ask(await house.load("other"), 3.0)).outcome == Outcome.DONE
            await house.supervisor.retire(gone.version.id)
        finally:
            house.gate.set()
        await asyncio.gather(*waiting)
        with pytest.raises(GoneError):
            await late
        assert ((1, 3),) not in house.compiled, "nobody is left to use it"
        await house.supervisor.bind(served, ((1, 4),))

    house(body, SupervisorSettings(memory_bytes=1 << 20, compiling=2, waiting_for_shapes=3))


def test_shapes_that_were_refused_are_not_compiled_anew_for_each_request(house) -> None:
    async def body(house) -> None:
        house.wrong.add(7)
        served = await house.load("free", shape=(-1, -1))
        for _ in range(3):
            with pytest.raises(RefusedError, match="such widths do not fit"):
                await house.supervisor.bind(served, ((2, 7),))
        assert house.compiled == [((1, 7),)]

    house(body)


def test_refusals_say_why_and_harm_nobody(house) -> None:
    async def body(house) -> None:
        good = await house.load("good")
        with pytest.raises(RefusedError, match="the double refuses it") as caught:
            await house.load("refused")
        assert caught.value.cause == "LoadFailed", "another device may load it"
        broken = house.version("broken")
        (house.folder / "broken-3" / "artifact.json").write_text("{}")
        with pytest.raises(RefusedError, match="tier only: its artifact cannot be read"):
            await house.supervisor.load(broken)
        with pytest.raises(RefusedError, match="it computes otherwise") as caught:
            await house.load("imprecise")
        assert caught.value.cause == "PrecisionUnsupported", "as the executor says"
        assert (await house.ask(good, 3.0)).outcome == Outcome.DONE

    house(body)


def test_tiers_must_look_alike(house) -> None:
    async def body(house) -> None:
        one, other = house.version("one"), house.version("other", shape=(-1, 17))
        both = type(one)(9, "both", 1.0, 0, 10, one.tiers + other.tiers)
        with pytest.raises(RefusedError, match="its inputs differ") as caught:
            await house.supervisor.load(both)
        assert caught.value.cause == "TiersDiffer"

    house(body)


def test_queue_and_memory_are_bounded(house) -> None:
    async def body(house) -> None:
        small, large = await house.load("small", queue_limit=3), await house.load("large", shape=(-1, 1 << 15))
        calls = [house.supervisor.open(small, ((1, 16),)) for _ in range(3)]
        with pytest.raises(FullError, match="small: 3 requests"):
            house.supervisor.open(small, ((1, 16),))
        calls.pop().release()
        calls.append(house.supervisor.open(small, ((1, 16),)))
        calls += [house.supervisor.open(large, ((4, 1 << 15),)) for _ in range(8)]  # of 1 MiB, of 16 MiB less the head
        with pytest.raises(FullError, match="large: its requests hold their share"):
            house.supervisor.open(large, ((4, 1 << 15),))
        huge = await house.load("huge", shape=(-1, 1 << 18))
        for _ in range(2):  # whether or not it has others under way
            with pytest.raises(OversizeError, match="the memory for all requests has"):
                house.supervisor.open(huge, ((16, 1 << 18),))
            calls.append(house.supervisor.open(huge, ((1, 1 << 18),)))
        calls.pop().release()
        calls.pop().release()
        other = await house.load("other", shape=(-1, 1 << 15))  # there is something left for it
        calls += [house.supervisor.open(other, ((4, 1 << 15),)) for _ in range(3)]
        another = await house.load("another", shape=(-1, 1 << 15))
        with pytest.raises(FullError, match="memory for requests is full"):
            house.supervisor.open(another, ((32, 1 << 15),))
        for call in calls:
            call.release()
        with pytest.raises(ValueError, match="released before"):
            calls[0].release()
        assert (await house.ask(large, 1.0, rows=4)).outcome == Outcome.DONE

    house(body)


def test_retire_serves_what_was_accepted_and_nothing_more(house) -> None:
    async def body(house) -> None:
        served = await house.load("old")
        opened = house.supervisor.open(served, ((1, 16),))
        asks = [asyncio.ensure_future(house.ask(served, SLOW)) for _ in range(2)]
        await asyncio.sleep(0)
        retired = asyncio.ensure_future(house.supervisor.retire(served.version.id))
        await asyncio.sleep(0)
        with pytest.raises(GoneError):
            house.supervisor.open(served, ((1, 16),))
        assert [done.outcome for done in await asyncio.gather(*asks)] == [Outcome.DONE] * 2
        assert not retired.done(), "a request that was opened has been accepted"
        opened.inputs[0][:] = 4.0
        assert (await house.supervisor.answer(opened, time.monotonic() + 5)).outcome == Outcome.DONE
        opened.release()
        await asyncio.wait_for(retired, 5)
        assert (await house.supervisor.statistics())["loaded"] == []
        await house.supervisor.retire(served.version.id)  # again is no error

    house(body)


def test_a_cancelled_request_keeps_its_block_until_the_executor_lets_go(house) -> None:
    """The executor writes its output after 0.3 s: the block must not belong to somebody else by then."""

    async def body(house) -> None:
        served = await house.load("one")
        call = house.supervisor.open(served, ((1, 16),))
        call.inputs[0][:] = SLOW
        block = call.block
        waiting = asyncio.ensure_future(house.supervisor.answer(call, time.monotonic() + 5))
        await house.until(lambda: bool(house.supervisor._memory.record.flights()))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        call.release()
        others = [house.supervisor.open(served, ((1, 16),)) for _ in range(300)]
        assert block not in {other.block for other in others}
        await house.until(lambda: not len(house.supervisor._requests))
        assert len(house.supervisor._requests.blocks) == 300
        for other in others:
            other.release()

    house(body)


def test_a_cancelled_request_that_waits_is_not_run(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        slow = asyncio.ensure_future(house.ask(served, SLOW))
        await house.until(lambda: bool(house.supervisor._memory.record.flights()))
        waiting = [asyncio.ensure_future(house.ask(served, 1.0)) for _ in range(20)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await slow).outcome == Outcome.DONE
        await house.until(lambda: not len(house.supervisor._requests))
        assert (await house.supervisor.statistics())["answered"] == 1

    house(body)


def test_overdue_requests_are_shed_even_if_the_executor_does_not_speak(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        slow = asyncio.ensure_future(house.ask(served, SLOW))
        started = time.monotonic()
        done = await house.ask(served, SLOW, deadline=0.05)
        assert done.outcome == Outcome.SHED
        assert 0.15 <= time.monotonic() - started < 2 * SLOW_SECONDS
        assert (await slow).outcome == Outcome.DONE

    house(body, SupervisorSettings(memory_bytes=1 << 20, grace=0.1))


def test_a_call_is_answered_once(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        call = house.supervisor.open(served, ((1, 16),))
        call.inputs[0][:] = 0
        await house.supervisor.answer(call, time.monotonic() + 5)
        with pytest.raises(ValueError, match="answered or released before"):
            await house.supervisor.answer(call, time.monotonic() + 5)
        call.release()

    house(body)


def test_close_sheds_what_is_under_way(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        asks = [asyncio.ensure_future(house.ask(served, SLOW)) for _ in range(5)]
        await house.until(lambda: bool(house.supervisor._memory.record.flights()))
        await house.supervisor.close()
        assert {done.outcome for done in await asyncio.gather(*asks)} == {Outcome.SHED}
        with pytest.raises(GoneError):
            house.supervisor.open(served, ((1, 16),))

    house(body)
