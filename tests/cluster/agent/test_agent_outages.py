"""The API server goes away: what is served goes on, and what was missed is seen afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from treadle_agent.cluster import kube
from treadle_agent.cluster.connection import load_connection
from treadle_agent.cluster.following import Follower
from treadle_agent.cluster.kube import REPLICAS, Json, KubeClient, Selection
from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.units import Seconds

SEEN_AGAIN = 90.0  # seconds after the API server's return, at most


def test_it_waits_for_the_api_server_and_says_so(agent, proxy):
    way = proxy()
    way.cut()
    it = agent("alpha", server=way.url)
    it.program.wait_for(r"waiting for the API server, next try in .* s: https://127.0.0.1")
    assert it.ask("/v2/health/live") == 200
    assert it.ask("/v2/health/ready") == 503
    way.restore()
    it.wait_until_ready()
    assert it.ask("/v2/health/ready") == 200


def test_it_serves_while_the_api_server_is_away(agent, replica, proxy, infer, eventually):
    way = proxy()
    it = agent("alpha", server=way.url)
    one = replica("digits", "alpha", "2.onnx").create()
    one.wait_for("Serving", "True")
    way.cut()
    it.program.wait_for("what is served goes on")
    one.patch(template=replica("digits", "alpha", "5.onnx").manifest["spec"]["template"])
    end = time.monotonic() + 6.0  # longer than a renewal of the Lease
    while time.monotonic() < end:
        assert infer(it.address, "digits") == 2.0
        assert it.ask("/v2/health/ready") == 200
    way.restore()
    one.wait_for("Loaded", "True", seconds=30.0)
    assert infer(it.address, "digits") == 5.0
    eventually(lambda: it.lease_age() < 6.0, 15.0)
    for what in ("inferencereplicas are followed again", "the node's Lease is renewed again"):
        it.program.wait_for(what)


class Names:
    """A sink that keeps the names of what is there, and counts lists."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.lists = 0

    def listed(self, objects: Sequence[Json]) -> None:
        self.lists += 1
        self.there = {_name(one) for one in objects}

    def changed(self, manifest: Json) -> None:
        self.there.add(_name(manifest))

    def removed(self, manifest: Json) -> None:
        self.there.discard(_name(manifest))


def _name(manifest: Json) -> str:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


@pytest.mark.parametrize("compacted", [False, True])
def test_a_watch_that_went_dead_without_a_word(accounts, replica, proxy, monkeypatch, eventually, compacted):
    """With times short enough to wait for: a minute and a quarter in production (`kube.WATCH_SECONDS`)."""
    monkeypatch.setattr(kube, "WATCH_SECONDS", 2)
    monkeypatch.setattr(kube, "WATCH_GRACE", 1.0)
    if compacted:  # the API server has forgotten what happened since: 410
        ask = KubeClient.watch
        monkeypatch.setattr(KubeClient, "watch", lambda self, selection, _: ask(self, selection, "1"))
    way = proxy()
    names = Names()
    first, second = replica("first", "alpha"), replica("second", "alpha")

    async def run() -> None:
        watched = asyncio.get_running_loop()._selector  # file descriptors: the loop's own, and connections
        before = len(watched.get_map())
        client = KubeClient(await load_connection(accounts.kubeconfig_for("treadle-agent", server=way.url)))
        follower = Follower(
            client,
            Selection(REPLICAS, "", "spec.nodeName=alpha"),
            names,
            Backoff(BackoffTiming(Seconds(0.1), Seconds(1.0))),
        )
        following = asyncio.create_task(follower.run())
        try:
            await asyncio.to_thread(first.create)
            await asyncio.to_thread(eventually, lambda: names.there == {first.name})
            await asyncio.to_thread(way.blackhole)
            await asyncio.to_thread(second.create)
            await asyncio.to_thread(first.delete)
            await asyncio.sleep(0.5)
            assert names.there == {first.name}, "it cannot know"
            await asyncio.to_thread(way.restore)  # old connections stay silent
            await asyncio.to_thread(eventually, lambda: names.there == {second.name})
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await client.close()
            await asyncio.to_thread(way.cut)  # TLS would say good-bye to the silent ones for half a minute
            async with asyncio.timeout(10.0):
                while len(watched.get_map()) > before:  # noqa: ASYNC110 - nothing tells when a socket is closed
                    await asyncio.sleep(0.01)

    asyncio.run(run())
    assert (names.lists > 1) is compacted, "it goes on from where it was, and lists again only where it must"


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("outage", ["cut", "blackhole"])
def test_an_outage_of_minutes(agent, replica, proxy, infer, eventually, outage):
    way = proxy()
    it = agent("alpha", server=way.url)
    one = replica("digits", "alpha", "2.onnx").create()
    one.wait_for("Serving", "True")
    getattr(way, outage)()
    one.patch(template=replica("digits", "alpha", "5.onnx").manifest["spec"]["template"])
    end = time.monotonic() + 180.0
    while time.monotonic() < end:
        assert infer(it.address, "digits") == 2.0
        time.sleep(0.05)
    way.restore()
    eventually(lambda: infer(it.address, "digits") == 5.0, SEEN_AGAIN)
    one.wait_for("Loaded", "True", seconds=15.0)
    assert it.lease_age() < 6.0
