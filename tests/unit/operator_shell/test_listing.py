"""Lists bring the mirror up to date, and judge the watches by what they have missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from treadle_api.units import Seconds
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Page
from treadle_operator.kube.errors import ExpiredError, NotFoundError, UnreachableError
from treadle_operator.kube.kinds import Kind
from treadle_operator.listing import Listing
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror

Manifest = dict[str, Any]
Make = Callable[..., Manifest]
Until = Callable[[Callable[[], object]], Awaitable[None]]


class Server:
    """An API server's objects of one kind, and a watch of them that can be broken."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.objects: dict[str, Manifest] = {}
        self.version = 1000
        self.watch_works = True
        self.error: Exception | None = None
        self.expired_once = False
        self.lists = 0

    def put(self, manifest: Manifest) -> None:
        self.objects[manifest["metadata"]["name"]] = manifest
        self.version = int(manifest["metadata"]["resourceVersion"])
        if self.watch_works:
            self.mirror.take(kinds.TENANTS, manifest)

    def delete(self, name: str) -> None:
        gone = self.objects.pop(name)
        self.version += 1
        if self.watch_works:
            self.mirror.remove(kinds.TENANTS, f"team/{name}", gone["metadata"]["uid"], self.version)

    async def pages(self, *_: object) -> AsyncIterator[Page]:
        self.lists += 1
        if self.error is not None:
            raise self.error
        listed = list(self.objects.values())
        yield Page(listed[:1], self.version)
        if self.expired_once:
            self.expired_once = False
            raise ExpiredError(410, "Expired", "too late")
        yield Page(listed[1:], self.version)


@pytest.fixture
def mirror() -> Mirror:
    return Mirror(lambda: None)


@pytest.fixture
def server(mirror: Mirror) -> Server:
    return Server(mirror)


def listing_of(server: Server, mirror: Mirror, every: float = 3600.0) -> Listing:
    client: Any = server
    return Listing(client, mirror, [kinds.TENANTS], Seconds(every), Seconds(0.0), OperatorMetrics())


def names(mirror: Mirror) -> list[str]:
    return sorted(mirror.snapshot(1, frozenset()).tenants)


def test_a_list_adds_updates_and_removes(server: Server, mirror: Mirror, tenant: Make, stored: Make) -> None:
    async def scenario() -> None:
        for name in ("a", "b"):
            server.put(stored(tenant(name)))
        server.watch_works = False
        server.put(stored(tenant("c")))
        server.put(stored(tenant("a", slo={"deadline": "1s"})))
        server.delete("b")
        await listing_of(server, mirror).list_all()
        assert names(mirror) == ["a.team", "c.team"]
        assert mirror.snapshot(1, frozenset()).tenants["a.team"].tenant.slo.deadline == 1.0

    asyncio.run(scenario())


def test_an_object_created_while_the_list_is_under_way_is_kept(
    server: Server, mirror: Mirror, tenant: Make, stored: Make
) -> None:
    async def scenario() -> None:
        server.put(stored(tenant("a"), version=2000))
        server.watch_works = False
        server.put(stored(tenant("b"), version=2001))
        late = stored(tenant("late"), version=2005)
        server.watch_works = True
        listing = listing_of(server, mirror)
        original = server.pages

        async def pages(kind: Kind, namespace: str = "") -> AsyncIterator[Page]:
            async for page in original(kind, namespace):
                yield page
                mirror.take(kinds.TENANTS, late)

        server.pages = pages  # type: ignore[method-assign]
        await listing.list_all()
        assert names(mirror) == ["a.team", "b.team", "late.team"]

    asyncio.run(scenario())


def test_a_list_that_expires_between_pages_begins_anew(
    server: Server, mirror: Mirror, tenant: Make, stored: Make
) -> None:
    async def scenario() -> None:
        server.watch_works = False
        for name in ("a", "b"):
            server.put(stored(tenant(name)))
        server.expired_once = True
        await listing_of(server, mirror).list_all()
        assert names(mirror) == ["a.team", "b.team"]
        assert server.lists == 2

    asyncio.run(scenario())


async def audit(listing: Listing) -> None:
    """One audit, at once."""
    await listing._audit([kinds.TENANTS])


def test_a_watch_that_misses_twice_and_tells_nothing_is_dead_and_once_is_not(
    server: Server, mirror: Mirror, tenant: Make, stored: Make
) -> None:
    async def scenario() -> None:
        listing = listing_of(server, mirror)
        server.put(stored(tenant("a")))
        await audit(listing)
        assert listing.dead == ()
        server.watch_works = False
        server.put(stored(tenant("b")))
        await audit(listing)
        assert names(mirror) == ["a.team", "b.team"]  # made up for
        assert listing.dead == ()
        server.delete("a")
        await audit(listing)
        assert names(mirror) == ["b.team"]
        assert listing.dead == ("inferencetenants",)

    asyncio.run(scenario())


def test_a_watch_that_tells_something_in_between_is_forgiven(
    server: Server, mirror: Mirror, tenant: Make, stored: Make
) -> None:
    async def scenario() -> None:
        listing = listing_of(server, mirror)
        server.watch_works = False
        for name, heard in (("a", False), ("b", True), ("c", False)):
            server.put(stored(tenant(name)))
            if heard:
                listing.heard(kinds.TENANTS)
            await audit(listing)
            await audit(listing)  # nothing new: that says neither that it lives nor that it is dead
        assert listing.dead == ("inferencetenants",)
        listing.heard(kinds.TENANTS)
        assert listing.dead == ()

    asyncio.run(scenario())


def test_what_cannot_be_read_is_not_missed(server: Server, mirror: Mirror, tenant: Make, stored: Make) -> None:
    async def scenario() -> None:
        listing = listing_of(server, mirror)
        server.put(stored(tenant("a", tiers=[])))
        for _ in range(2):
            await audit(listing)
        assert listing.dead == ()
        assert names(mirror) == []

    asyncio.run(scenario())


def test_a_watch_that_is_only_late_has_missed_nothing(
    server: Server, mirror: Mirror, tenant: Make, stored: Make
) -> None:
    async def scenario() -> None:
        client: Any = server
        listing = Listing(client, mirror, [kinds.TENANTS], Seconds(3600.0), Seconds(0.05), OperatorMetrics())
        server.watch_works = False
        late = stored(tenant("late"))
        server.put(late)
        for _ in range(3):
            asyncio.get_running_loop().call_later(0.01, mirror.take, kinds.TENANTS, late)
            await audit(listing)
        assert listing.dead == ()
        assert listing._misses[kinds.TENANTS] == 0

    asyncio.run(scenario())


def test_a_watch_that_begins_anew_is_followed_by_an_audit(
    server: Server, mirror: Mirror, tenant: Make, stored: Make, until: Until
) -> None:
    async def scenario() -> None:
        listing = listing_of(server, mirror)
        server.put(stored(tenant("a")))
        server.watch_works = False
        server.delete("a")  # while the watch was interrupted: it will never tell
        task = asyncio.create_task(listing.run())
        listing._misses[kinds.TENANTS] = 1
        listing.relisted(kinds.TENANTS)
        await until(lambda: not names(mirror))
        assert listing._misses[kinds.TENANTS] == 0, "it lives, and could not tell"
        server.put(stored(tenant("b")))
        await audit(listing)
        assert listing._misses[kinds.TENANTS] == 1, "what it does not tell afterwards it has missed"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_an_audit_that_fails_after_a_watch_began_anew_is_made_again_soon(
    server: Server, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tenant: Make, stored: Make, until: Until
) -> None:
    monkeypatch.setattr("treadle_operator.listing._AGAIN", Seconds(0.01))

    async def scenario() -> None:
        listing = listing_of(server, mirror)
        server.put(stored(tenant("a")))
        server.watch_works = False
        server.delete("a")
        server.error = UnreachableError("no route")
        task = asyncio.create_task(listing.run())
        listing.relisted(kinds.TENANTS)
        await until(lambda: server.lists >= 2)
        server.error = None
        await until(lambda: not names(mirror))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_an_unreachable_server_puts_the_audit_off_and_a_vanished_kind_ends_it(
    server: Server, mirror: Mirror, until: Until
) -> None:
    async def scenario() -> None:
        listing = listing_of(server, mirror, every=0.001)
        server.error = UnreachableError("no route")
        task = asyncio.create_task(listing.run())
        await until(lambda: server.lists >= 3)
        assert not task.done()
        server.error = NotFoundError(404, "NotFound", "the server could not find the requested resource")
        with pytest.raises(NotFoundError):
            await asyncio.wait_for(task, 5.0)

    asyncio.run(scenario())
