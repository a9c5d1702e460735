"""A download that is interrupted goes on where it was; what it then is, is checked."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from aiohttp import web
from model_server import Server

from bed.addresses import free_port
from treadle_agent.models.errors import DigestError, UnreachableError
from treadle_agent.models.readers import source_key
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2
SETTINGS = ModelStoreSettings(most_bytes=len(BODY), attempts=1)
PORT = free_port()  # one for all tests: what is resumed is of one server
PARTIAL = f".partial-{DIGEST}-{source_key(f'https://127.0.0.1:{PORT}/m.onnx', None)}"


def ranged(body: bytes = BODY):
    """Answers with a file, or the part of it that is asked for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        start = request.http_range.start or 0
        if start >= len(body):
            return web.Response(status=416)
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        return web.Response(status=206 if start else 200, body=body[start:], headers=headers)

    return answer


async def breaks_off(request: web.Request) -> web.StreamResponse:
    """Answers with half of it, and is gone."""
    response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
    await response.prepare(request)
    await response.write(BODY[:HALF])
    await asyncio.sleep(0.1)  # what a connection holds when it is reset is lost
    assert request.transport is not None
    request.transport.close()
    return response


def fetch(folder: Path, answer, settings=SETTINGS, sha256=DIGEST, progress=None):
    """A fetch from a server that answers so: what came of it, and the parts that were asked for."""

    async def run():
        async with Server(answer, PORT) as server:
            store = ModelStore(folder, settings, server.trust)
            try:
                found = await store.fetch(Model(f"{server.url}/m.onnx", sha256), progress)
            except (DigestError, UnreachableError) as error:
                found = error
            return found, [headers.get("Range") for headers in server.headers]

    return asyncio.run(run())


def left(folder: Path) -> list[str]:
    """All files but the notes of who has read them."""
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def test_another_process_goes_on_where_one_was_interrupted(tmp_path):
    error, _ = fetch(tmp_path, breaks_off)
    assert isinstance(error, UnreachableError)
    assert left(tmp_path) == [PARTIAL]
    size = (tmp_path / PARTIAL).stat().st_size
    assert 0 < size <= HALF
    seen: list[tuple[int, int | None]] = []
    file, ranges = fetch(tmp_path, ranged(), progress=lambda *now: seen.append(now))
    assert file.read_bytes() == BODY
    assert ranges == [f"bytes={size}-"]
    assert seen[0][0] > size
    assert seen[-1] == (len(BODY), len(BODY))
    assert left(tmp_path) == [f"{DIGEST}.onnx"]


def test_so_does_the_next_try(tmp_path):
    answers = iter([breaks_off, ranged()])

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    file, ranges = fetch(tmp_path, answer, ModelStoreSettings(attempts=2, backoff=0.01))
    assert file.read_bytes() == BODY
    assert ranges[0] is None
    assert ranges[1].startswith("bytes=")


def test_a_fetch_that_nobody_wants_any_more_leaves_its_bytes(tmp_path):
    async def run() -> None:
        came = asyncio.Event()

        async def stalls(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
            await response.prepare(request)
            await response.write(BODY[:HALF])
            await asyncio.sleep(2)
            return response

        async with Server(stalls, PORT) as server:
            store = ModelStore(tmp_path, SETTINGS, server.trust)
            fetching = asyncio.create_task(store.fetch(Model(f"{server.url}/m.onnx", DIGEST), lambda *_: came.set()))
            await came.wait()
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)

    asyncio.run(run())
    assert 0 < (tmp_path / PARTIAL).stat().st_size <= HALF
    assert fetch(tmp_path, ranged())[0].read_bytes() == BODY


def test_a_server_that_knows_no_parts_sends_it_whole(tmp_path):
    (tmp_path / PARTIAL).write_bytes(BODY[:HALF])

    async def whole(_: web.Request) -> web.StreamResponse:
        return web.Response(body=BODY)

    assert fetch(tmp_path, whole)[0].read_bytes() == BODY


@pytest.mark.parametrize("there", [b"x" * HALF, BODY + b"!", b"x" * len(BODY)], ids=["other", "more", "as many"])
def test_bytes_that_are_not_the_files_are_fetched_anew(tmp_path, there):
    (tmp_path / PARTIAL).write_bytes(there)
    file, _ = fetch(tmp_path, ranged(), ModelStoreSettings(attempts=2, backoff=0.01))
    assert file.read_bytes() == BODY
    assert left(tmp_path) == [f"{DIGEST}.onnx"]


def test_all_bytes_are_there_but_its_name(tmp_path):
    (tmp_path / PARTIAL).write_bytes(BODY)
    file, ranges = fetch(tmp_path, ranged())
    assert file.read_bytes() == BODY
    assert ranges == ["bytes=0-0"]


def test_another_file_leaves_nothing(tmp_path):
    (tmp_path / PARTIAL).write_bytes(BODY[:HALF])
    error, _ = fetch(tmp_path, ranged(BODY[::-1]))
    assert isinstance(error, DigestError)
    assert left(tmp_path) == []


def test_without_a_digest_nothing_tells_whether_the_file_is_still_the_same(tmp_path):
    fetch(tmp_path, breaks_off, sha256=None)
    assert left(tmp_path) == []
    _, ranges = fetch(tmp_path, ranged(), sha256=None)
    assert ranges == [None]


def test_one_fetches_what_several_want(tmp_path):
    async def run() -> list[str]:
        async with Server(ranged()) as server:
            stores = [ModelStore(tmp_path, SETTINGS, server.trust) for _ in range(4)]  # as of so many processes
            files = await asyncio.gather(*(store.fetch(Model(f"{server.url}/m", DIGEST)) for store in stores))
            assert {file.read_bytes() for file in files} == {BODY}
            return server.requests

    assert asyncio.run(run()) == ["/m"]
    assert left(tmp_path) == [f"{DIGEST}.onnx"]
