"""Registries are asked as any server of models is: of which hosts, at which addresses; and what is amiss is told."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl

import pytest
from aiohttp import web
from model_registry import BASIC, LOGIN, MANIFEST, layer
from model_server import Server

from treadle_agent.models.errors import FetchError, NotAllowedError, RefusedByServerError, UnreachableError
from treadle_agent.models.secrets import Secret
from treadle_agent.models.sources import Sources
from treadle_agent.models.transport import Transport
from treadle_agent.settings import ModelStoreSettings

oci = pytest.importorskip("treadle_agent.models.oci")

SECRET = Secret("reader", {key: value.encode() for key, value in LOGIN.items()})
LINK = "has the address 169.254.169.254, from which no model may come"
LOOPBACK = "has the address 127.0.0.1, from which no model may come"


async def find(uri, hosts=None, trust=None):
    transport = Transport(ModelStoreSettings(silence=1.0), Sources(hosts), trust or ssl.create_default_context())
    return await oci.oci_place(uri, SECRET, transport)


def ask(answer, host="127.0.0.1", hosts=None):
    """A registry that answers so: where a model is, or the error, and what it was asked and told.

    ``{port}`` in what is given is the server's.
    """

    async def run():
        async with Server(answer) as server:
            listed = hosts and tuple(one.format(port=server.port) for one in hosts)
            try:
                found = await find(f"oci://{host}:{server.port}/digits:v1", listed, server.trust)
            except FetchError as error:
                found = error
            said = [headers.get("Authorization") for headers in server.headers]
            return found, list(zip(server.requests, said, strict=True))

    return asyncio.run(run())


def by_token(realm, token=lambda: web.json_response({"access_token": "a-token"})):
    """A registry that lets in by a token of `realm`, where it is asked for one, too."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return token()
        if request.headers.get("Authorization") == "Bearer a-token":
            return web.json_response({"layers": [layer(b"model", None)]}, content_type=MANIFEST)
        challenge = f'Bearer realm="{realm.format(port=request.url.port)}",service="s",scope="repository:digits:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    return answer


FIRST = ("/v2/digits/manifests/v1", None)


def test_a_host_without_an_address(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match=r"^https://foo/v2/bar/manifests/latest: no address is known for foo"):
        asyncio.run(find("oci://foo/bar"))


def test_a_host_where_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"{place}/v2/bar/manifests/1: Cannot connect to host {place}"):
            asyncio.run(find(f"oci://{place}/bar:1"))


def test_a_host_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"{place}/v2/bar/manifests/1: nothing came for 1 s"):
            asyncio.run(find(f"oci://{place}/bar:1"))


@pytest.mark.parametrize("uri", ["oci://registry.example", "oci://registry.example/", "oci://registry.example/a b@"])
def test_a_name_that_no_artifact_has(uri):
    with pytest.raises(RefusedByServerError, match=rf"{uri} is not oci://REGISTRY/NAME:TAG"):
        asyncio.run(find(uri))


@pytest.mark.parametrize("hosts", [("metadata.example:{port}",), None], ids=["listed", "all"])
def test_no_registry_is_on_the_link(resolving, hosts):
    resolving(metadata="169.254.169.254")
    error, asked = ask(by_token(""), "metadata.example", hosts)
    assert isinstance(error, RefusedByServerError)
    assert f"metadata.example {LINK}" in str(error)
    assert asked == []


@pytest.mark.parametrize(
    ("hosts", "target", "message"),
    [
        (("127.0.0.1:{port}", "metadata.example:{port}"), "metadata.example", LINK),
        (None, "metadata.example", LINK),
        (None, "elsewhere.example", LOOPBACK),
        (None, "10.0.0.7", "which is no public address"),
    ],
)
def test_no_manifest_is_behind_a_redirect_to_where_no_model_may_come_from(resolving, hosts, target, message):
    resolving(metadata="169.254.169.254", elsewhere="127.0.0.1")

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"https://{target}:{request.url.port}/m"})

    error, asked = ask(answer, hosts=hosts)
    assert isinstance(error, RefusedByServerError)
    assert message in str(error)
    assert asked == [FIRST]


@pytest.mark.parametrize(
    ("hosts", "realm", "message"),
    [
        (("127.0.0.1:{port}", "metadata.example:{port}"), "https://metadata.example:{port}/token", LINK),
        (("127.0.0.1:{port}",), "https://localhost:{port}/token", "models may not come from localhost"),
        (("127.0.0.1:{port}",), "https://169.254.169.254/token", "models may not come from 169.254.169.254"),
        (None, "https://metadata.example:{port}/token", LINK),
        (None, "https://elsewhere.example:{port}/token", LOOPBACK),
        (None, "https://169.254.169.254/token", "which is no public address"),
        (None, "http://127.0.0.1:{port}/token", "is not https"),
        (None, "/token", "does not let in"),
        (None, "https://[/token", "does not let in"),
    ],
)
def test_no_token_server_is_where_no_model_may_come_from(resolving, hosts, realm, message):
    resolving(metadata="169.254.169.254", elsewhere="127.0.0.1")
    error, asked = ask(by_token(realm), hosts=hosts)
    assert isinstance(error, RefusedByServerError | NotAllowedError)
    assert message in str(error)
    assert asked == [FIRST]


@pytest.mark.parametrize(
    ("hosts", "realm"),
    [
        (("127.0.0.1:{port}", "localhost:{port}"), "https://localhost:{port}/token"),
        (None, "https://127.0.0.1:{port}/token"),
    ],
    ids=["listed", "its own"],
)
def test_a_token_server_that_may_be_private(hosts, realm):
    place, asked = ask(by_token(realm), hosts=hosts)
    assert place.headers == {"Authorization": "Bearer a-token"}
    assert asked == [FIRST, ("/token", BASIC), (FIRST[0], "Bearer a-token")]


def test_a_token_server_redirects_to_no_private_address():
    def elsewhere():
        return web.Response(status=307, headers={"Location": "https://10.0.0.7/token"})

    error, asked = ask(by_token("https://127.0.0.1:{port}/token", elsewhere))
    assert "points to https://10.0.0.7/token, which is no public address" in str(error)
    assert asked == [FIRST, ("/token", BASIC)]


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (lambda: web.Response(status=401), RefusedByServerError),
        (lambda: web.json_response({}), RefusedByServerError),
        (lambda: web.json_response({"token": "two\r\nlines"}), RefusedByServerError),
        (lambda: web.Response(status=503), UnreachableError),
    ],
    ids=["no", "none", "lines", "busy"],
)
def test_a_token_server_that_gives_none(token, cause):
    error, asked = ask(by_token("https://127.0.0.1:{port}/token", token))
    assert isinstance(error, cause)
    assert asked == [FIRST, ("/token", BASIC)]


@pytest.mark.parametrize("challenge", ["", "Bearer", "Negotiate", 'Bearer realm="' + "a" * 8000])
def test_a_challenge_that_nobody_can_answer(challenge):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    error, asked = ask(answer)
    assert isinstance(error, RefusedByServerError)
    assert str(error).endswith("the registry does not let in: does the Secret let in?")
    assert asked == [FIRST]


@pytest.mark.parametrize("body", [b"x", b"[]", json.dumps({"layers": [{"digest": 7}]}).encode()])
def test_an_answer_that_is_no_manifest(body):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    error, _ = ask(answer)
    assert isinstance(error, RefusedByServerError)
    assert "is not an artifact's manifest" in str(error)


def test_no_more_is_read_than_a_manifest_has():
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * ((4 << 20) + 1))

    error, _ = ask(answer)
    assert isinstance(error, RefusedByServerError)
    assert str(error).endswith("manifests/v1: the answer has more than 4194304 bytes")
