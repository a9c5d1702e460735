"""A profile is written where there is none, or where what was measured differs by more than a tenth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from treadle_agent.cluster.errors import NotFoundError, RefusedError
from treadle_agent.cluster.kube import Json
from treadle_agent.cluster.manifests import profile_manifest
from treadle_agent.cluster.profiles import Profiles, refined
from treadle_api.profile import BatchLatency, LoadLatency, Profile, profile_name, read_profile
from treadle_api.replica import TierFigures
from treadle_api.tenant import Precision
from treadle_api.units import Bytes, PerSecond, Seconds, TierName


def profile(p50: float, p99: float | None = None, *more: BatchLatency) -> Profile:
    alone = BatchLatency(1, Seconds(p50), Seconds(p99 or p50))
    return Profile("ab" * 32, "a CPU", "cd" * 32, Bytes(4096), (alone, *more))


def test_what_nobody_has_measured():
    assert refined(None, profile(0.001)) == profile(0.001)


def test_what_agrees_within_a_tenth_is_left_alone():
    assert refined(profile(0.001, 0.002), profile(0.00109)) is None
    assert refined(profile(0.001, 0.002), profile(0.00091)) is None


def test_what_differs_keeps_the_tail_that_was_measured():
    batch = BatchLatency(8, Seconds(0.004), Seconds(0.005))
    load = LoadLatency(PerSecond(10.0), Seconds(0.002), Seconds(0.003))
    known = Profile("ab" * 32, "a CPU", "", Bytes(1), (BatchLatency(1, Seconds(0.001), Seconds(0.003)), batch), (load,))
    found = refined(known, profile(0.002, None, BatchLatency(2, Seconds(0.003), Seconds(0.003))))
    assert found is not None
    assert [(one.rows, one.p50, one.p99) for one in found.batches] == [(1, 0.002, 0.006), (2, 0.003, 0.003)]
    assert found.loads == (), "others' rows and loads are theirs: server-side apply leaves them alone"


@pytest.mark.parametrize("error", [1.3, 1.6])
def test_a_stale_profile_is_corrected(error: float):
    found = refined(profile(0.001, 0.002), profile(0.001 * error))
    assert found is not None
    assert (found.batches[0].p50, found.batches[0].p99) == pytest.approx((0.001 * error, 0.002 * error))
    assert refined(found, profile(0.001 * error)) is None, "and then left alone"


class Server:
    """Has the profiles that are put into it, and takes notes of what it is asked; it refuses to write `refused`."""

    def __init__(self, refused: str = "") -> None:
        self.asked: list[str] = []
        self.applied: list[str] = []
        self.profiles: dict[str, Json] = {}
        self._refused = refused

    async def get(self, _: object, __: str, name: str) -> Json:
        self.asked.append(name)
        if name not in self.profiles:
            raise NotFoundError(404, "no such profile")
        return self.profiles[name]

    async def apply(self, _: object, __: str, name: str, body: Json) -> Json:
        if name == self._refused:
            raise RefusedError(422, "it is invalid")
        self.applied.append(name)
        return self.put(name, body)

    def put(self, name: str, body: Json) -> Json:
        head = {"apiVersion": "treadle.dev/v1alpha1", "kind": "ModelProfile", "metadata": {"name": name}}
        self.profiles[name] = {**head, **body}
        return self.profiles[name]

    def p50(self, name: str) -> float:
        return read_profile(self.profiles[name]).batches[0].p50


@asynccontextmanager
async def running(it: Profiles, retry_seconds: float = 3600.0) -> AsyncIterator[None]:
    task = asyncio.create_task(it.run(retry_seconds))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(check: Callable[[], object]) -> None:
    async with asyncio.timeout(10.0):
        while not check():  # noqa: ASYNC110 - what is waited for has no event to tell it
            await asyncio.sleep(0.005)


def loads(it: Profiles, sha256: str, seconds: float = 0.001, precision: Precision = Precision.FLOAT32) -> None:
    tier = TierFigures(TierName("large"), sha256 * 32, "ef" * 32, "merged", Seconds(seconds), Bytes(4096), precision)
    it.measured(tier, "a CPU", [(1, seconds)])


ONE, OTHER = (profile_name(sha256 * 32, "a CPU") for sha256 in ("ab", "cd"))


def test_a_model_that_is_not_loaded_any_more_is_forgotten():
    async def body() -> None:
        server = Server()
        it = Profiles(server, refine_seconds=3600.0, review_seconds=3600.0)
        async with running(it):
            loads(it, "ab")
            await eventually(lambda: server.asked == [ONE])
            loads(it, "cd")
            await eventually(lambda: server.asked == [ONE, OTHER])
            await eventually(lambda: server.applied == [ONE, OTHER])
            it.retain({OTHER})
            loads(it, "cd")
            loads(it, "ab")
            await eventually(lambda: len(server.asked) > 2)
            await asyncio.sleep(0.05)
            assert server.asked[2:] == [ONE], "it is loaded again, and looked at again; the other was settled"

    asyncio.run(body())


def test_what_another_agent_has_written_too_slow_is_corrected_and_what_is_faster_left_alone():
    async def body() -> None:
        server = Server()
        it = Profiles(server, refine_seconds=3600.0, review_seconds=0.05)
        async with running(it):
            loads(it, "ab")
            await eventually(lambda: server.applied == [ONE])
            server.put(ONE, profile_manifest(profile(0.0015)))
            await eventually(lambda: server.applied == [ONE, ONE])
            assert server.p50(ONE) == 0.001
            server.put(ONE, profile_manifest(profile(0.0007)))
            seen = len(server.asked)
            await eventually(lambda: len(server.asked) >= seen + 3)
            assert server.p50(ONE) == 0.0007, "it would be contradicted for ever"
            assert server.applied == [ONE, ONE]
            del server.profiles[ONE]
            await eventually(lambda: ONE in server.profiles)
            it.retain(())
            await asyncio.sleep(0.1)
            seen = len(server.asked)
            await asyncio.sleep(0.2)
            assert len(server.asked) == seen, "nobody asks for what is not loaded any more"

    asyncio.run(body())


def test_a_profile_that_is_refused_does_not_keep_others_from_being_written():
    async def body() -> None:
        server = Server(refused=ONE)
        it = Profiles(server, refine_seconds=3600.0, review_seconds=3600.0)
        async with running(it, retry_seconds=0.02):
            loads(it, "ab")
            loads(it, "cd")
            await eventually(lambda: server.applied == [OTHER])
            await eventually(lambda: server.asked.count(ONE) > 2)
            assert server.asked.count(OTHER) == 1

    asyncio.run(body())


def test_profiles_are_of_models_as_they_are():
    async def body() -> None:
        server = Server()
        it = Profiles(server, refine_seconds=3600.0, review_seconds=3600.0)
        async with running(it):
            loads(it, "ab", precision=Precision.FLOAT16)
            loads(it, "cd")
            await eventually(lambda: server.applied)
            assert server.asked == [OTHER]

    asyncio.run(body())
