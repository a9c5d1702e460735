"""A profile is written where there is none, or where what was measured differs by more than a tenth."""

from __future__ import annotations

import asyncio

import pytest

from treadle_agent.cluster.errors import NotFoundError
from treadle_agent.cluster.profiles import Profiles, refined
from treadle_api.profile import BatchLatency, LoadLatency, Profile, profile_name
from treadle_api.replica import TierFigures
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
    """Has no profile, and takes notes of what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, _: object, __: str, name: str) -> dict[str, object]:
        self.asked.append(name)
        raise NotFoundError(404, "no such profile")

    async def apply(self, *_: object, **__: object) -> dict[str, object]:
        return {}


def test_a_model_that_is_not_loaded_any_more_is_forgotten():
    async def body() -> None:
        server = Server()
        it = Profiles(server, refine_seconds=3600.0)
        running = asyncio.create_task(it.run(retry_seconds=3600.0))

        async def measure(sha256: str) -> list[str]:
            """Which profiles the API server is asked for, because of that."""
            server.asked.clear()
            tier = TierFigures(TierName("large"), sha256 * 32, "ef" * 32, "merged", Seconds(0.001), Bytes(4096))
            it.measured(tier, "a CPU", [(1, 0.001)])
            for _ in range(20):
                await asyncio.sleep(0.01)
                if server.asked:
                    break
            return list(server.asked)

        one, other = (profile_name(sha256 * 32, "a CPU") for sha256 in ("ab", "cd"))
        assert await measure("ab") == [one]
        assert await measure("cd") == [other]
        it.retain({other})
        assert await measure("ab") == [one], "it is loaded again, and looked at again"
        assert await measure("cd") == [], "that was settled"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(body())
