from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop
from worker_double import ABORT, BETWEEN, HANG, KILL_SELF

from treadle_agent.executor.gateway import RefusedError
from treadle_agent.executor.protocol import Outcome

DOUBLES = Path(__file__).parent / "doubles"


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_killed_under_load_every_request_is_answered(house, loop_factory) -> None:
    """Three kills while 60 clients of four tenants ask: each request with time left gets its own, right answer."""

    async def body(house) -> None:
        tenants = [await house.load(f"tenant-{number}") for number in range(4)]
        ends = time.monotonic() + 2.5
        answered = []

        async def client(seed: int) -> None:
            random_ = random.Random(seed)
            while time.monotonic() < ends:
                done = await house.ask(random_.choice(tenants), random_.random(), rows=random_.randint(1, 5))
                assert done.outcome == Outcome.DONE, done
                answered.append(done.request)

        clients = [asyncio.ensure_future(client(seed)) for seed in range(60)]
        for kills in (1, 2, 3):
            await asyncio.sleep(0.5)
            os.kill(house.pid, signal.SIGKILL)
            await house.until(lambda kills=kills: house.supervisor._restarts == kills)
        await asyncio.gather(*clients)
        assert len(answered) == len(set(answered)) > 500
        counters = await house.counters()
        assert counters["restarts"] == 3
        assert counters["replays"] > 0
        assert counters["isolated"] == {}

    house(body, loop_factory=loop_factory)


@pytest.mark.parametrize(("order", "faults"), [(ABORT, 2), (HANG, 2), (BETWEEN, 4), (KILL_SELF, 3)])
def test_the_culprit_is_isolated_and_the_others_are_answered(house, order: float, faults: int) -> None:
    async def body(house) -> None:
        good = [await house.load(f"good-{number}") for number in range(3)]
        bad = await house.load("bad")
        asks = [house.ask(served, value) for value in range(20) for served in good]
        asks.insert(31, house.ask(bad, order))
        done = await asyncio.gather(*asks)
        culprit = done.pop(31)
        assert culprit.outcome == Outcome.ERROR
        assert "when run alone" in culprit.reason
        assert {one.outcome for one in done} == {Outcome.DONE}
        assert (await house.counters())["restarts"] == faults
        later = await house.ask(bad, 1.0)
        assert (later.outcome, later.reason) == (Outcome.ERROR, culprit.reason)
        assert (await house.ask(good[0], 1.0)).outcome == Outcome.DONE
        assert list((await house.counters())["isolated"]) == [str(bad.version.id)]
        await house.supervisor.retire(bad.version.id)
        again = await house.load("bad")  # its next version starts afresh
        assert (await house.ask(again, 1.0)).outcome == Outcome.DONE

    house(body)


@pytest.mark.parametrize("leaves", ["overdue", "cancelled"])
def test_a_culprit_that_nobody_awaits_any_more_is_found_all_the_same(house, leaves: str) -> None:
    async def body(house) -> None:
        good, bad = await house.load("good"), await house.load("bad")
        ask = asyncio.ensure_future(house.ask(bad, HANG, deadline=0.1 if leaves == "overdue" else 20.0))
        if leaves == "overdue":
            assert (await ask).outcome == Outcome.SHED
        else:
            await house.until(lambda: bool(house.supervisor._memory.record.flights()))
            ask.cancel()
        await house.until(lambda: house.supervisor._roster.get(bad.version.id).reason)
        assert (await house.ask(good, 1.0)).outcome == Outcome.DONE
        assert (await house.counters())["restarts"] == 2

    house(body)


def test_a_hang_between_launches_is_noticed(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        assert (await house.ask(served, 1.0)).outcome == Outcome.DONE
        os.kill(house.pid, signal.SIGSTOP)
        assert (await house.ask(served, 1.0)).outcome == Outcome.DONE
        assert (await house.counters())["restarts"] == 1

    house(body)


@pytest.mark.parametrize("tenant", ["crash-load", "silent-crash-load"])
def test_a_version_that_cannot_be_loaded_is_refused_and_the_others_go_on(house, tenant: str) -> None:
    async def body(house) -> None:
        good = await house.load("good")
        reason = "loading it ended the executor process repeatedly: signal SIGABRT"
        with pytest.raises(RefusedError, match=reason) as caught:
            await house.load(tenant)
        assert caught.value.cause == "ExecutorFailed", "it would bring down the next executor too"
        assert (await house.ask(good, 1.0)).outcome == Outcome.DONE
        assert (await house.counters())["restarts"] == 2
        assert (await house.counters())["isolated"] == {}

    house(body)


def test_versions_that_retire_or_came_late_survive_a_crash(house) -> None:
    async def body(house) -> None:
        old = await house.load("old")
        opened = house.supervisor.open(old, ((2, 16),))
        retired = asyncio.ensure_future(house.supervisor.retire(old.version.id))
        await asyncio.sleep(0)
        os.kill(house.pid, signal.SIGKILL)
        new = await house.load("new")
        opened.inputs[0][:] = 5.0
        assert (await house.supervisor.answer(opened, time.monotonic() + 5)).outcome == Outcome.DONE
        assert (opened.outputs[0] == 10.0 + old.version.id).all()
        opened.release()
        await asyncio.wait_for(retired, 5)
        assert (await house.ask(new, 1.0)).outcome == Outcome.DONE
        assert (await house.supervisor.statistics())["loaded"] == [new.version.id]

    house(body)


def test_requests_that_became_overdue_meanwhile_are_shed(house) -> None:
    async def body(house) -> None:
        served = await house.load("one")
        os.kill(house.pid, signal.SIGSTOP)
        ask = asyncio.ensure_future(house.ask(served, 1.0, deadline=0.01))
        await asyncio.sleep(0.05)
        os.kill(house.pid, signal.SIGKILL)
        assert (await ask).outcome == Outcome.SHED
        await house.until(lambda: not len(house.supervisor._requests))

    house(body)


def test_restarts_leak_nothing_and_stay_quick(house) -> None:
    async def body(house) -> None:
        tenants = [await house.load(f"tenant-{number}") for number in range(8)]
        outages, descriptors = [], []
        for round_ in range(6):
            os.kill(house.pid, signal.SIGKILL)
            await asyncio.gather(*(house.ask(served, 1.0) for served in tenants))
            outages.append((await house.counters())["outage_seconds"])
            descriptors.append(house.descriptors())
            assert house.supervisor._restarts == round_ + 1
        assert len(set(descriptors[1:])) == 1, descriptors
        assert 0 < sorted(outages)[3] < 1.0, outages

    house(body)


def test_the_executor_ends_with_the_front_end(tmp_path: Path) -> None:
    """The front end is killed outright; its executor hangs in a launch, and must end nevertheless."""
    program = f"""
import asyncio, sys, time
sys.path[:0] = [{str(DOUBLES)!r}, {str(DOUBLES.parent)!r}]
from pathlib import Path
import conftest, worker_double
async def main():
    house = conftest.House(Path({str(tmp_path)!r}))
    await house.open(conftest.SupervisorSettings(hang_floor=1000.0))
    served = await house.load("one")
    ask = asyncio.ensure_future(house.ask(served, worker_double.HANG))
    await house.until(lambda: bool(house.supervisor._memory.record.flights()))
    print(house.pid, flush=True)
    await ask
asyncio.run(main())
"""
    front = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert front.stdout is not None
        executor = int(front.stdout.readline())
        os.kill(executor, 0)
        front.kill()
        front.wait()
        end = time.monotonic() + 10
        while Path(f"/proc/{executor}").exists():
            assert time.monotonic() < end, "the executor outlives the front end"
            time.sleep(0.02)
    finally:
        front.kill()
        front.wait()
        front.stdout.close()
