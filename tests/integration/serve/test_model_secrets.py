"""A model's server that asks who is there: what the tenant's Secret holds is said to it, and to nobody else."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path

import pytest
from aiohttp import web
from model_server import Server

from treadle_agent.models.errors import FetchError
from treadle_agent.models.secrets import Secret, SecretError, SecretUnreachableError
from treadle_agent.models.sources import Sources
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

PASSWORD = "open-sesame"
LOGIN = {"username": b"reader", "password": f"{PASSWORD}\n".encode()}
BASIC = f"Basic {base64.b64encode(f'reader:{PASSWORD}'.encode()).decode()}"


class Kept:
    """Secrets of namespaces."""

    def __init__(self, **values: bytes) -> None:
        self.values = values
        self.reads: list[str] = []

    async def read(self, namespace: str, name: str) -> Secret:
        self.reads.append(f"{namespace}/{name}")
        return Secret(name, self.values)


async def asks(request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/to-"):
        host = request.path.removeprefix("/to-")
        return web.Response(status=302, headers={"Location": f"https://{host}:{request.url.port}/m"})
    if "Authorization" in request.headers or request.host.startswith("localhost"):
        return web.Response(body=b"model")
    return web.Response(status=401)


def fetch(folder: Path, secrets, path: str = "/m", secret: str | None = "reader"):
    """From a server that asks: a path or an error, and what was said to it."""

    async def run():
        async with Server(asks) as server:
            hosts = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
            settings = ModelStoreSettings(attempts=1)
            store = ModelStore(folder, settings, server.trust, Sources(hosts), secrets)
            try:
                found = await store.fetch(Model(server.url + path, None, secret), None, "team")
            except FetchError as error:
                found = error
            return found, [headers.get("Authorization") for headers in server.headers]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("values", "said"), [(LOGIN, BASIC), ({"token": b"t0ken"}, "Bearer t0ken")], ids=["login", "token"]
)
def test_the_secret_lets_in(tmp_path, values, said):
    secrets = Kept(**values)
    file, headers = fetch(tmp_path, secrets)
    assert file.read_bytes() == b"model"
    assert headers == [said]
    assert secrets.reads == ["team/reader"]
    error, _ = fetch(tmp_path / "other", secrets, secret=None)
    assert "the server answers 401" in str(error)


def test_it_is_said_to_no_other_server(tmp_path):
    file, headers = fetch(tmp_path, Kept(**LOGIN), "/to-localhost")
    assert file.read_bytes() == b"model"
    assert headers == [BASIC, None]
    _, headers = fetch(tmp_path, Kept(**LOGIN), "/to-127.0.0.1")
    assert headers == [BASIC, BASIC]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Secret reader lacks the key username, which https (or token) needs: add it"),
        ({"username": b"reader"}, "Secret reader lacks the key password"),
        ({"token": b"\xff"}, "key token of Secret reader is not text"),
        ({"username": b"a:b", "password": PASSWORD.encode()}, "key username of Secret reader has a colon"),
    ],
)
def test_a_secret_that_does_not_hold_what_is_asked_for(tmp_path, values, message):
    error, headers = fetch(tmp_path, Kept(**values))
    assert isinstance(error, SecretError)
    assert error.field == "secretName"
    assert message in str(error)
    assert PASSWORD not in str(error)
    assert headers == []


def test_without_a_cluster_there_are_no_secrets(tmp_path):
    error, headers = fetch(tmp_path, None)
    assert isinstance(error, SecretError)
    assert "there is no cluster here" in str(error)
    assert headers == []


def test_nothing_of_it_is_shown(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    fetch(tmp_path, Kept(**LOGIN), "/to-localhost")
    error, _ = fetch(tmp_path, Kept(username=b"reader", password=PASSWORD.encode()), "/to-10.0.0.7")
    for text in (caplog.text, str(error), repr(Secret("reader", LOGIN)), repr(SecretUnreachableError("x"))):
        assert PASSWORD not in text
        assert BASIC.partition(" ")[2] not in text
