"""A model in the cache is given to who may read it where it came from: to know its digest lets nobody in."""

from __future__ import annotations

import asyncio
import hashlib
import re

import pytest
from aiohttp import web
from model_server import Server

from treadle_agent.models.errors import DigestError, FetchError, NotAllowedError, RefusedByServerError
from treadle_agent.models.readers import source_key
from treadle_agent.models.secrets import Secret, SecretUnreachableError
from treadle_agent.models.sources import Sources
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()
SETTINGS = ModelStoreSettings(attempts=1)
ONE_BYTE = ("/m", "bytes=0-0")


class Kept:
    """Each namespace's Secret holds that one's name, as a token."""

    def __init__(self) -> None:
        self.away = False

    async def read(self, namespace: str, name: str) -> Secret:
        if self.away:
            raise SecretUnreachableError("nobody can be asked")
        return Secret(name, {"token": namespace.encode()})


async def answer(request: web.Request) -> web.StreamResponse:
    """/m and /other for the teams, /own for all, and /slow, which never ends."""
    if request.path == "/slow":
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
        await response.prepare(request)
        await response.write(BODY[:1000])
        await asyncio.sleep(60)
        return response
    if request.path == "/own":
        return web.Response(body=b"a model of one's own")
    if not re.fullmatch("Bearer team-.", request.headers.get("Authorization", "")):
        return web.Response(status=401)
    part = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if part is None:
        return web.Response(body=BODY)
    first, last = int(part[1]), int(part[2] or len(BODY) - 1)
    headers = {"Content-Range": f"bytes {first}-{last}/{len(BODY)}"}
    return web.Response(status=206, body=BODY[first : last + 1], headers=headers)


class Node:
    """The store of one machine, whose server may be away."""

    def __init__(self, server: Server, folder) -> None:
        self.server = server
        self.secrets = Kept()
        self._folder = folder
        self.hosts: tuple[str, ...] = (f"127.0.0.1:{server.port}",)

    async def fetch(self, namespace: str, path: str = "/m", secret="reader", sha256=DIGEST, progress=None):
        """By an agent that has just started: the bytes, or the error."""
        store = ModelStore(self._folder, SETTINGS, self.server.trust, Sources(self.hosts), self.secrets)
        try:
            file = await store.fetch(Model(self.server.url + path, sha256, secret), progress, namespace)
            return file.read_bytes()
        except FetchError as error:
            return error

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        """Paths and parts, each once."""
        parts = [headers.get("Range") for headers in self.server.headers]
        return list(zip(self.server.requests, parts, strict=True))


def on_a_node(folder, body) -> None:
    async def run() -> None:
        async with Server(answer) as server:
            await body(Node(server, folder))

    asyncio.run(run())


def test_who_knows_the_digest_is_not_given_the_file(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        for secret in (None, "reader"):
            error = await node.fetch("stranger", secret=secret)
            assert isinstance(error, RefusedByServerError)
            assert "the server answers 401" in str(error)
        assert node.asked == [("/m", None), ONE_BYTE, ONE_BYTE]

    on_a_node(tmp_path, body)


def test_nor_who_has_another_file_that_he_may_read(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        assert await node.fetch("stranger", "/own", None, None) == b"a model of one's own"
        for _ in range(2):
            assert isinstance(await node.fetch("stranger", "/own", None), DigestError)

    on_a_node(tmp_path, body)


def test_nor_who_names_a_host_that_is_not_listed(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        node.hosts = ()
        for namespace in ("team-a", "team-b", "stranger"):
            error = await node.fetch(namespace)
            assert isinstance(error, NotAllowedError)
            assert "models may not come from 127.0.0.1:" in str(error)
        assert node.asked == [("/m", None)]

    on_a_node(tmp_path, body)


def test_nor_who_names_another_secret_of_the_same_namespace(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        assert isinstance(await node.fetch("team-a", secret=None), RefusedByServerError)
        assert node.asked == [("/m", None), ONE_BYTE]

    on_a_node(tmp_path, body)


def test_who_is_let_in_shares_it_and_is_asked_for_once(tmp_path):
    async def body(node: Node) -> None:
        for namespace in ("team-a", "team-b", "team-b", "team-a"):
            assert await node.fetch(namespace) == BODY
        assert node.asked == [("/m", None), ONE_BYTE]

    on_a_node(tmp_path, body)


def test_so_do_several_at_a_time(tmp_path):
    async def body(node: Node) -> None:
        names = ["team-a", "team-b", "team-a", "team-c", "stranger"]
        *teams, stranger = await asyncio.gather(*map(node.fetch, names))
        assert teams == [BODY] * 4
        assert isinstance(stranger, RefusedByServerError)
        assert len(node.asked) == 4  # not team-a's second
        said = [headers["Authorization"] for headers in node.server.headers if "Range" not in headers]
        assert len([one for one in said if "team" in one]) == 1

    on_a_node(tmp_path, body)


def test_who_was_served_is_served_though_nobody_can_be_asked(tmp_path):
    async def body(node: Node) -> None:
        for namespace in ("team-a", "team-b"):
            assert await node.fetch(namespace) == BODY
        node.secrets.away = True
        await node.server.stop()
        for namespace in ("team-a", "team-b"):
            assert await node.fetch(namespace) == BODY
        assert isinstance(await node.fetch("team-c"), SecretUnreachableError)

    on_a_node(tmp_path, body)


def test_a_file_of_two_places_is_of_the_readers_of_both(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        assert await node.fetch("team-b", "/other") == BODY
        assert await node.fetch("team-c", "/other") == BODY
        assert node.asked == [("/m", None), ("/other", None), ("/other", "bytes=0-0")]
        assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [f"{DIGEST}.onnx"]

    on_a_node(tmp_path, body)


def test_what_was_left_of_anothers_download_is_given_to_nobody_who_is_not_let_in(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        [file] = tmp_path.glob("*.onnx")
        file.rename(tmp_path / f".partial-{DIGEST}-{source_key(f'{node.server.url}/m', None)}")
        assert isinstance(await node.fetch("stranger"), RefusedByServerError)
        assert await node.fetch("team-b") == BODY
        assert node.asked == [("/m", None), ONE_BYTE, ONE_BYTE]

    on_a_node(tmp_path, body)


def test_what_was_left_of_a_download_goes_once_the_file_is_there(tmp_path):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        (tmp_path / f".partial-{DIGEST}-{source_key(f'{node.server.url}/m', None)}").write_bytes(BODY[:1000])
        assert await node.fetch("team-b") == BODY
        assert node.asked == [("/m", None), ONE_BYTE]
        assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [f"{DIGEST}.onnx"]

    on_a_node(tmp_path, body)


def test_a_slow_server_keeps_nobody_from_another_with_the_same_file(tmp_path):
    async def body(node: Node) -> None:
        began = asyncio.Event()
        slow = asyncio.create_task(node.fetch("stranger", "/slow", progress=lambda *_: began.set()))
        await began.wait()
        async with asyncio.timeout(10.0):
            assert await node.fetch("team-a") == BODY
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    on_a_node(tmp_path, body)


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_who_had_it_is_asked_for_again_where_that_is_not_known(tmp_path, damage):
    async def body(node: Node) -> None:
        assert await node.fetch("team-a") == BODY
        note = tmp_path / ".readers" / DIGEST
        if damage == "gone":
            note.unlink()
        else:
            note.write_bytes(b"[")
        assert isinstance(await node.fetch("stranger"), RefusedByServerError)
        assert await node.fetch("team-a") == BODY

    on_a_node(tmp_path, body)
