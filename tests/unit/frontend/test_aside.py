"""Large bodies are worked on elsewhere: in turns, within a time, and whatever becomes of the process."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from treadle_agent.frontend import aside as module
from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.errors import BadRequestError, NotReadError, TooLargeError
from treadle_agent.frontend.inflation import inflate
from treadle_callers.turns import NoTurnError

CONTENT = random.Random(7).randbytes(3_000_000)  # neither it nor what becomes of it fits into a socket
LARGE, SMALL = gzip.compress(CONTENT), gzip.compress(b"tensor")
LIMIT = 4_000_000


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside({"inflate": inflate})
    yield made
    made.close()


async def inflated(aside: Aside, body: bytes = SMALL, tenant: str = "a", size: int = 1, limit: int = LIMIT) -> bytes:
    return bytes(await aside.ask("inflate", body, "gzip", limit, tenant=tenant, size=size))


def ask(aside: Aside, body: bytes = SMALL, limit: int = LIMIT) -> bytes:
    return asyncio.run(inflated(aside, body, limit=limit))


def test_the_process_does_one_thing_after_another(aside):
    assert ask(aside, LARGE) == CONTENT
    first = aside._process.pid
    with pytest.raises(TooLargeError, match="larger than 1000 bytes"):
        ask(aside, LARGE, limit=1000)
    with pytest.raises(BadRequestError, match="cut off"):
        ask(aside, LARGE[:-1])
    assert ask(aside) == b"tensor"
    assert aside._process.pid == first


def test_one_that_has_died_costs_one_request(aside):
    ask(aside)
    os.kill(aside._process.pid, signal.SIGKILL)
    with pytest.raises(NotReadError):
        ask(aside)
    assert ask(aside) == b"tensor"


def policy(aside: Aside) -> tuple[int, int]:
    """The process's, and how much nicer it is than this one."""
    pid = aside._process.pid
    return os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, 0)


def test_it_takes_what_nobody_wants_and_its_share_where_that_is_too_little(aside, monkeypatch):
    ask(aside)
    assert policy(aside) == (os.SCHED_IDLE, 0)
    monkeypatch.setattr(module, "SPARE_SECONDS", 0.2)
    os.kill(aside._process.pid, signal.SIGSTOP)  # as if it never had the processor
    assert ask(aside, LARGE) == CONTENT
    assert policy(aside) == (os.SCHED_OTHER, module.NICENESS)
    first = aside._process.pid
    ask(aside)
    assert aside._process.pid == first, "for a time"
    aside._hurried_until = time.monotonic() - 1.0
    monkeypatch.setattr(module, "SPARE_SECONDS", 20.0)
    ask(aside)
    assert policy(aside) == (os.SCHED_IDLE, 0)


def test_one_that_hangs_is_replaced(aside, monkeypatch):
    ask(aside)
    os.kill(aside._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as hasty:
        hasty.setattr(module, "SPARE_SECONDS", 0.2)
        hasty.setattr(module, "PATIENCE", 0.001)  # no process has begun by then
        with pytest.raises(NotReadError, match="try again"):
            ask(aside)
    assert ask(aside) == b"tensor"


def test_no_more_wait_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 1000)
    aside = Aside({"inflate": inflate})

    async def run() -> list[object]:
        bodies = (2000, 500, 400, 101, 100, 1)  # the first one does not wait
        return await asyncio.gather(*(inflated(aside, size=each) for each in bodies), return_exceptions=True)

    found = asyncio.run(run())
    assert [type(one) for one in found] == [bytes, bytes, bytes, NoTurnError, bytes, NoTurnError]
    assert ask(aside) == b"tensor"
    aside.close()


def test_tenants_take_turns(aside):
    async def run() -> list[str]:
        done: list[str] = []

        async def ask_for(tenant: str) -> None:
            await inflated(aside, tenant=tenant)
            done.append(tenant)

        await asyncio.gather(*map(ask_for, "aaaaab"))
        return done

    assert asyncio.run(run()) == ["a", "a", "b", "a", "a", "a"]


def test_the_loop_goes_on_meanwhile(aside):
    body = gzip.compress(bytes(64_000_000))

    async def run() -> int:
        doing, turns = asyncio.create_task(inflated(aside, body, limit=64_000_000)), 0
        while not doing.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert len(await doing) == 64_000_000
        return turns

    ask(aside)
    assert asyncio.run(run()) > 10


def test_who_leaves_keeps_the_turn_until_the_process_is_done(aside):
    """Else the next one would wait behind it beyond its time, and bodies that nobody counts would pile up."""

    async def run() -> None:
        await inflated(aside)
        pid = aside._process.pid
        os.kill(pid, signal.SIGSTOP)
        leaving = asyncio.create_task(inflated(aside))
        await asyncio.sleep(0.05)
        leaving.cancel()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await aside.ask("inflate", SMALL, "gzip", LIMIT, tenant="b", size=1, patience=0.2)
        assert time.monotonic() - began < 1.0
        os.kill(pid, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await inflated(aside) == b"tensor"
        assert aside._process.pid == pid

    asyncio.run(run())


def test_who_waits_is_told_when_it_closes(aside):
    async def run() -> None:
        await inflated(aside)
        os.kill(aside._process.pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(inflated(aside)) for _ in range(3)]
        await asyncio.sleep(0.05)
        aside.close()
        assert {type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)} == {NotReadError}

    asyncio.run(run())
