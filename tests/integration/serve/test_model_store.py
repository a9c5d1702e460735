"""Models from files and from an https server on loopback with a certificate of our own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from model_server import Server

from treadle_agent.models.errors import (
    DigestError,
    FetchError,
    NotFoundError,
    RefusedByServerError,
    StorageError,
    TooLargeError,
    TooSlowError,
    UnreachableError,
)
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

BODY = bytes(range(256)) * 20_000  # several chunks
DIGEST = hashlib.sha256(BODY).hexdigest()
SETTINGS = ModelStoreSettings(most_bytes=len(BODY), silence=5.0, redirects=2, attempts=2, backoff=0.01)


async def whole(_: web.Request) -> web.StreamResponse:
    return web.Response(body=BODY)


def fetch(folder: Path, path: str, sha256: str | None = None, *, answer=whole, settings=SETTINGS, **kwargs):
    """Fetch one model from a server of its own; the path or the error, and the paths that were asked for."""

    async def run() -> tuple[object, list[str]]:
        async with Server(answer) as server:
            store = ModelStore(folder, settings, server.trust)
            try:
                return await store.fetch(Model(server.url + path, sha256), **kwargs), server.requests
            except FetchError as error:
                return error, server.requests

    return asyncio.run(run())


def left(folder: Path) -> list[str]:
    """All files but the notes of who has read them."""
    return sorted(file.name for file in folder.iterdir() if file.is_file()) if folder.exists() else []


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_a_download_is_kept_under_its_digest(tmp_path, sha256):
    seen: list[tuple[int, int | None]] = []
    file, _ = fetch(tmp_path / "s", "/m.onnx", sha256, progress=lambda done, total: seen.append((done, total)))
    assert file == tmp_path / "s" / f"{DIGEST}.onnx"
    assert file.read_bytes() == BODY
    assert left(tmp_path / "s") == [f"{DIGEST}.onnx"]
    assert len(seen) > 1
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(tmp_path):
    async def run() -> None:
        async with Server(whole) as server:
            store, model = ModelStore(tmp_path, SETTINGS, server.trust), Model(f"{server.url}/m.onnx", DIGEST)
            for _ in range(2):
                file = await store.fetch(model)
            assert server.requests == ["/m.onnx"]
            file.write_bytes(b"damaged")
            file = await store.fetch(model)
            assert server.requests == ["/m.onnx"] * 2
            assert file.read_bytes() == BODY

    asyncio.run(run())


def test_another_file_than_promised(tmp_path):
    error, _ = fetch(tmp_path, "/m.onnx", "0" * 64)
    assert isinstance(error, DigestError)
    assert f"m.onnx has the sha256 {DIGEST}, not {'0' * 64}: put the former into the manifest" in str(error)
    assert error.field == "sha256"
    assert left(tmp_path) == []


def test_a_file_that_is_too_large(tmp_path):
    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(8):
            await response.write(BODY)
        return response

    settings = ModelStoreSettings(most_bytes=len(BODY) - 1)
    for answer in (whole, chunked):
        error, _ = fetch(tmp_path, "/m.onnx", answer=answer, settings=settings)
        assert isinstance(error, TooLargeError)
        assert left(tmp_path) == []


def test_a_server_that_breaks_off_is_asked_again(tmp_path):
    tries = []

    async def flaky(request: web.Request) -> web.StreamResponse:
        tries.append(1)
        if len(tries) == 2:
            return web.Response(body=BODY)
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
        await response.prepare(request)
        await response.write(BODY[:1000])
        assert request.transport is not None
        request.transport.abort()
        return response

    file, requests = fetch(tmp_path, "/m.onnx", DIGEST, answer=flaky)
    assert file.read_bytes() == BODY
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [(403, RefusedByServerError, 1), (404, NotFoundError, 1), (503, UnreachableError, 2)],
)
def test_an_answer_that_is_no_file(tmp_path, status, error, requests):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    found, paths = fetch(tmp_path, "/m.onnx", answer=answer)
    assert isinstance(found, error)
    assert str(status) in str(found)
    assert len(paths) == requests
    assert left(tmp_path) == []


def test_redirects_are_followed_within_https(tmp_path):
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/moved":
                return web.Response(status=302, headers={"Location": "/m.onnx"})
            case "/plain":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/m.onnx"})
            case "/round":
                return web.Response(status=307, headers={"Location": "/round"})
        return web.Response(body=BODY)

    file, requests = fetch(tmp_path, "/moved", answer=answer)
    assert file.read_bytes() == BODY
    assert requests == ["/moved", "/m.onnx"]
    error, _ = fetch(tmp_path, "/plain", answer=answer)
    assert isinstance(error, RefusedByServerError)
    assert "not https" in str(error)
    error, requests = fetch(tmp_path, "/round", answer=answer)
    assert isinstance(error, RefusedByServerError)
    assert "more than 2 times" in str(error)
    assert len(requests) == 3


def test_silence_is_not_waited_for(tmp_path):
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await asyncio.sleep(1)
        return response

    error, _ = fetch(tmp_path, "/m.onnx", answer=answer, settings=ModelStoreSettings(silence=0.2, attempts=1))
    assert isinstance(error, UnreachableError)
    assert "nothing came for 0.2 s" in str(error)


@pytest.mark.parametrize("in_head", [True, False])
def test_a_server_that_trickles_is_given_up(tmp_path, in_head):
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
        if in_head:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 200 OK\r\n")
        else:
            await response.prepare(request)
        for number in range(1000):
            await asyncio.sleep(0.05)
            if in_head:
                if request.transport is None:
                    break
                request.transport.write(b"X-%d: x\r\n" % number)
            else:
                await response.write(BODY[:1])
        return response

    settings = replace(SETTINGS, silence=5.0, patience=0.5, least_rate=1000)
    began = time.monotonic()
    error, requests = fetch(tmp_path, "/m.onnx", answer=trickle, settings=settings)
    assert isinstance(error, TooSlowError)
    assert "slower than 0.976562 KiB/s" in str(error)
    assert error.cause == "ModelUnreachable", "another try may be faster"
    assert len(requests) == 1, "but not now"
    assert time.monotonic() - began < 4.0
    assert left(tmp_path) == []


def test_a_slow_download_that_keeps_the_rate_ends_well(tmp_path):
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for begin in range(0, len(BODY), len(BODY) // 10):
            await asyncio.sleep(0.25)
            await response.write(BODY[begin : begin + len(BODY) // 10])
        return response

    settings = replace(SETTINGS, patience=1.5, least_rate=len(BODY) // 10)
    file, _ = fetch(tmp_path, "/m.onnx", answer=slow, settings=settings)
    assert file.read_bytes() == BODY


def test_downloads_are_bounded_and_local_files_do_not_wait_for_them(tmp_path):
    async def run() -> None:
        gate, both, under_way = asyncio.Event(), asyncio.Event(), []

        async def wait(request: web.Request) -> web.StreamResponse:
            under_way.append(request.path)
            if len(under_way) == 2:
                both.set()
            await gate.wait()
            return web.Response(body=BODY)

        async with Server(wait) as server:
            store = ModelStore(tmp_path / "s", replace(SETTINGS, concurrent_downloads=2), server.trust)
            fetches = [asyncio.create_task(store.fetch(Model(f"{server.url}/{n}", None))) for n in range(4)]
            await both.wait()
            (tmp_path / "m.onnx").write_bytes(BODY)
            assert await store.fetch(Model(str(tmp_path / "m.onnx"), DIGEST)) == tmp_path / "m.onnx"
            await asyncio.sleep(0.1)  # time enough for a third to begin
            assert len(under_way) == 2
            gate.set()
            await asyncio.gather(*fetches)
            assert len(under_way) == 4

    asyncio.run(run())


def test_a_certificate_that_nobody_trusts(tmp_path):
    async def run() -> None:
        async with Server(whole) as server:
            with pytest.raises(RefusedByServerError, match="certificate is not trusted"):
                await ModelStore(tmp_path, SETTINGS).fetch(Model(f"{server.url}/m.onnx", None))

    asyncio.run(run())


def test_the_systems_trust_is_the_environments(tmp_path, monkeypatch):
    async def run() -> None:
        async with Server(whole) as server:
            server.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            await ModelStore(tmp_path, SETTINGS).fetch(Model(f"{server.url}/m.onnx", DIGEST))

    asyncio.run(run())


def test_nobody_there(tmp_path):
    async def run() -> None:
        async with Server(whole) as server:
            url = server.url
        with pytest.raises(UnreachableError, match="Cannot connect"):
            await ModelStore(tmp_path, SETTINGS, server.trust).fetch(Model(f"{url}/m.onnx", None))

    asyncio.run(run())


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    error, requests = fetch(tmp_path / "file" / "store", "/m.onnx")
    assert isinstance(error, StorageError)
    assert requests == []


def test_simultaneous_fetches_of_one_model(tmp_path):
    async def run() -> list[Path]:
        async with Server(whole) as server:
            store = ModelStore(tmp_path, SETTINGS, server.trust)
            return await asyncio.gather(*(store.fetch(Model(f"{server.url}/m.onnx", None)) for _ in range(5)))

    assert {file.read_bytes() for file in asyncio.run(run())} == {BODY}
    assert left(tmp_path) == [f"{DIGEST}.onnx"]


def local(folder: Path, uri: str, sha256: str | None = None) -> Path:
    return asyncio.run(ModelStore(folder / "store", SETTINGS).fetch(Model(uri, sha256)))


def test_local_files_are_used_where_they_lie(tmp_path):
    file = tmp_path / "my model.onnx"
    file.write_bytes(BODY)
    assert local(tmp_path, str(file)) == file
    assert local(tmp_path, f"file://{tmp_path}/my%20model.onnx", DIGEST) == file
    assert not (tmp_path / "store").exists()


def test_local_files_that_cannot_be_used(tmp_path, monkeypatch):
    file = tmp_path / "m.onnx"
    file.write_bytes(BODY + b"!")
    with pytest.raises(TooLargeError, match="has 5120001 bytes, the limit is 5120000"):
        local(tmp_path, str(file))
    file.write_bytes(BODY[1:])
    with pytest.raises(DigestError, match=rf"has the sha256 \w{{64}}, not {DIGEST}: put the former"):
        local(tmp_path, str(file), DIGEST)
    with pytest.raises(NotFoundError, match=r"there is no file .*/other\.onnx"):
        local(tmp_path, str(tmp_path / "other.onnx"))
    with pytest.raises(NotFoundError, match="is not a file"):
        local(tmp_path, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    told = f"there is no file {tmp_path}/models/other.onnx; models/other.onnx is relative to the folder that the agent"
    with pytest.raises(NotFoundError, match=told):
        local(tmp_path, "models/other.onnx")
