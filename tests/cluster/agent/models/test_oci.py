"""Artifacts of a real registry, by a login, and by tokens."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from model_registry import BASIC, LOGIN, MANIFEST, PASSWORD, Pushing, layer
from model_server import Server, in_a_thread

from treadle_agent.models.errors import (
    DigestError,
    FetchError,
    NotAllowedError,
    NotFoundError,
    RefusedByServerError,
)
from treadle_agent.models.oci import oci_place
from treadle_agent.models.readers import source_key
from treadle_agent.models.secrets import Secret, SecretError
from treadle_agent.models.sources import Sources
from treadle_agent.models.store import ModelStore
from treadle_agent.models.transport import Transport
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()
Store = Callable[..., ModelStore]


def fetch(store: ModelStore, uri: str, sha256: str | None = None, secret: str | None = "reader") -> Any:
    async def run() -> Path:
        try:
            return await store.fetch(Model(uri, sha256, secret))
        finally:
            await asyncio.sleep(0.1)  # for the connection to be closed: asyncio has no event for that

    try:
        return asyncio.run(run())
    except FetchError as error:
        return error


def test_an_artifacts_file_is_fetched_by_the_secrets_login(registry: Pushing, store: Store) -> None:
    digest = registry.artifact("team/digits", "v1", (BODY, "digits.onnx"))
    host = registry.host
    dockers = {".dockerconfigjson": json.dumps({"auths": {host: {"auth": BASIC.partition(" ")[2]}}})}
    plain = {".dockerconfigjson": json.dumps({"auths": {host: LOGIN}})}
    uris = (f"oci://{host}/team/digits:v1", f"oci://{host}/team/digits@{digest}")
    for index, (secret, uri) in enumerate((secret, uri) for secret in (LOGIN, dockers, plain) for uri in uris):
        file = fetch(store((host,), {"reader": secret}, f"store-{index}"), uri)
        assert file.name == f"{DIGEST}.onnx", file
        assert file.read_bytes() == BODY


def test_what_is_missing_of_it_is_asked_for_alone(registry: Pushing, store: Store, tmp_path: Path) -> None:
    registry.artifact("digits", "v1", (BODY, "digits.onnx"))
    uri = f"oci://{registry.host}/digits:v1"
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / f".partial-{DIGEST}-{source_key(uri, None)}").write_bytes(BODY[:1000])
    file = fetch(store((registry.host,), {"reader": LOGIN}), uri, DIGEST)
    assert file.read_bytes() == BODY
    assert '" 206 ' in (tmp_path / "registry.log").read_text()


def test_bytes_that_are_not_the_files_are_fetched_anew(registry: Pushing, store: Store, tmp_path: Path) -> None:
    registry.artifact("digits", "v1", (BODY, "digits.onnx"))
    uri = f"oci://{registry.host}/digits:v1"
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / f".partial-{DIGEST}-{source_key(uri, None)}").write_bytes(b"x" * 1000)
    file = fetch(store((registry.host,), {"reader": LOGIN}), uri, DIGEST)
    assert file.read_bytes() == BODY


def test_an_artifact_of_several_files_says_which_is_the_model(registry: Pushing, store: Store) -> None:
    registry.artifact("digits", "one", (b"read me", "README.md"), (BODY, "digits.onnx"))
    registry.artifact("digits", "two", (b"a", "a.onnx"), (b"b", "b.onnx"))
    registry.artifact("digits", "plain", (BODY, None))
    it = store((registry.host,), {"reader": LOGIN})
    assert fetch(it, f"oci://{registry.host}/digits:one").read_bytes() == BODY
    assert fetch(it, f"oci://{registry.host}/digits:plain").read_bytes() == BODY
    error = fetch(it, f"oci://{registry.host}/digits:two")
    assert isinstance(error, RefusedByServerError)
    assert str(error).endswith("or one whose title ends in .onnx; it has a.onnx, b.onnx")


def test_what_is_not_there_or_not_what_was_meant(registry: Pushing, store: Store) -> None:
    registry.artifact("digits", "v1", (BODY, "digits.onnx"))
    it = store((registry.host,), {"reader": LOGIN})
    assert isinstance(fetch(it, f"oci://{registry.host}/digits:v2"), NotFoundError)
    error = fetch(it, f"oci://{registry.host}/digits:v1", "0" * 64)
    assert isinstance(error, DigestError)
    assert DIGEST in str(error)


def test_who_is_not_let_in(registry: Pushing, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    registry.artifact("digits", "v1", (BODY, "digits.onnx"))
    uri = f"oci://{registry.host}/digits:v1"
    error = fetch(store((registry.host,), {}), uri, secret=None)
    assert isinstance(error, RefusedByServerError)
    assert str(error) == f"{uri}: the registry does not let in: name a Secret that lets in, in secretName"
    other = {"username": "reader", "password": "another-password"}
    refused = fetch(store((registry.host,), {"reader": other}), uri)
    assert isinstance(refused, RefusedByServerError)
    elsewhere = {".dockerconfigjson": json.dumps({"auths": {"registry.example": LOGIN}})}
    unknown = fetch(store((registry.host,), {"reader": elsewhere}), uri)
    assert isinstance(unknown, SecretError)
    assert f"has no login for {registry.host}: add it" in str(unknown)
    fetch(store((registry.host,), {"reader": LOGIN}), uri)
    said = caplog.text + str(error) + str(refused) + str(unknown)
    for secret in (PASSWORD, "another-password", BASIC.partition(" ")[2]):
        assert secret not in said


def test_a_file_in_the_cache_is_given_to_who_is_let_in(registry: Pushing, store: Store, tmp_path: Path) -> None:
    registry.artifact("digits", "v1", (BODY, "digits.onnx"))
    uri = f"oci://{registry.host}/digits:v1"
    secrets = {"reader": LOGIN, "second": LOGIN, "stranger": {"username": "reader", "password": "another-password"}}
    it = store((registry.host,), secrets)
    assert fetch(it, uri, DIGEST).read_bytes() == BODY
    for secret in ("stranger", None):
        assert isinstance(fetch(it, uri, DIGEST, secret), RefusedByServerError)
    before = len((tmp_path / "registry.log").read_text())
    assert fetch(it, uri, DIGEST, "second").read_bytes() == BODY
    log = (tmp_path / "registry.log").read_text()[before:]
    assert re.findall(r'"GET \S*/blobs/\S* HTTP/\S*" (\d+) (\d+)', log) == [("206", "1")]


def test_a_registry_that_is_not_listed_is_not_asked(registry: Pushing, store: Store, tmp_path: Path) -> None:
    error = fetch(store(("registry.example",), {"reader": LOGIN}), f"oci://{registry.host}/digits:v1")
    assert isinstance(error, NotAllowedError)
    assert f"models may not come from {registry.host}" in str(error)
    assert "manifests" not in (tmp_path / "registry.log").read_text()


def by_token(realm: str, said: list[str]) -> Callable[[web.Request], Any]:
    """A registry of one artifact that lets in by a token, of the server at `realm`; and that server."""

    async def answer(request: web.Request) -> web.StreamResponse:
        said.append(f"{request.path} {request.headers.get('Authorization', 'nothing')}")
        if request.path == "/token":
            return web.json_response({"token": "a-token"})
        if request.headers.get("Authorization") != "Bearer a-token":
            here = realm or f"https://127.0.0.1:{request.url.port}/token"
            challenge = f'Bearer realm="{here}",service="registry",scope="repository:digits:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if "manifests" in request.path:
            return web.json_response({"layers": [layer(BODY, "digits.onnx")]}, content_type=MANIFEST)
        return web.Response(body=BODY)

    return answer


def test_a_registry_that_lets_in_by_a_token(tmp_path: Path) -> None:
    said: list[str] = []
    with in_a_thread(Server(by_token("", said))) as server:
        transport = Transport(ModelStoreSettings(), Sources(), server.trust)
        login = Secret("reader", {key: value.encode() for key, value in LOGIN.items()})
        place = asyncio.run(oci_place(f"oci://127.0.0.1:{server.port}/digits:v1", login, transport))
    assert said == ["/v2/digits/manifests/v1 nothing", f"/token {BASIC}", "/v2/digits/manifests/v1 Bearer a-token"]
    assert place.headers == {"Authorization": "Bearer a-token"}
    assert place.sha256 == DIGEST


@pytest.mark.parametrize("realm", ["https://169.254.169.254/token", "http://127.0.0.1:9/token"])
def test_the_login_is_told_to_no_token_server_that_is_not_listed(store: Store, realm: str) -> None:
    said: list[str] = []
    with in_a_thread(Server(by_token(realm, said))) as server:
        host = f"127.0.0.1:{server.port}"
        it = store((host,), {"reader": LOGIN})
        it._transport._ssl_context = server.trust
        error = fetch(it, f"oci://{host}/digits:v1")
    assert isinstance(error, NotAllowedError | RefusedByServerError)
    assert "models may not come from 169.254.169.254" in str(error) or "is not https" in str(error)
    assert said == ["/v2/digits/manifests/v1 nothing"]


def test_a_blob_that_is_not_what_the_manifest_says(store: Store) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "manifests" in request.path:
            return web.json_response({"layers": [layer(b"another", None)]}, content_type=MANIFEST)
        return web.Response(body=BODY)

    with in_a_thread(Server(answer)) as server:
        host = f"127.0.0.1:{server.port}"
        it = store((host,), {})
        it._transport._ssl_context = server.trust
        error = fetch(it, f"oci://{host}/digits:v1", secret=None)
    assert isinstance(error, DigestError)
    assert "is not the file of that digest" in str(error)
