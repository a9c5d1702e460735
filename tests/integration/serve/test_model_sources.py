"""Where models may come from: a list of hosts, a list of folders, and no way round either."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from model_server import Server
from yarl import URL

from treadle_agent.models.errors import FetchError, NotAllowedError, RefusedByServerError
from treadle_agent.models.sources import Sources, is_public, shown
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings
from treadle_api.tenant import Model

SETTINGS = ModelStoreSettings(attempts=1)


async def body(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"model")


def fetch(tmp_path: Path, sources: Sources, uri: str, answer=body):
    """From a server: a path or an error, and the paths asked for; ``{port}`` in what is given is the server's."""

    async def run():
        async with Server(answer) as server:
            hosts = tuple(host.format(port=server.port) for host in sources.hosts or ())
            store = ModelStore(tmp_path / "store", SETTINGS, server.trust, Sources(hosts, sources.folders))
            try:
                return await store.fetch(Model(uri.format(port=server.port), None)), server.requests
            except FetchError as error:
                return error, server.requests

    return asyncio.run(run())


def test_a_host_that_is_not_listed_is_not_asked(tmp_path):
    sources = Sources(("models.example", "*.example.org"))
    error, requests = fetch(tmp_path, sources, "https://127.0.0.1:{port}/m.onnx")
    assert isinstance(error, NotAllowedError)
    assert str(error).startswith("models may not come from 127.0.0.1:")
    assert "allowed (models.example, *.example.org)" in str(error)
    assert "agent.models.hosts" in str(error)
    assert requests == []
    file, requests = fetch(tmp_path, Sources(("127.0.0.1:{port}",)), "https://127.0.0.1:{port}/m.onnx")
    assert file.read_bytes() == b"model"
    assert requests == ["/m.onnx"]


@pytest.mark.parametrize(
    ("uri", "listed"),
    [
        ("https://models.example/m", True),
        ("https://MODELS.example./m", True),
        ("https://models.example:443/m", True),
        ("https://models.example:8443/m", False),
        ("https://other.example:8443/m", True),
        ("https://other.example/m", False),
        ("https://a.b.example.org/m", True),
        ("https://example.org/m", False),
        ("https://badexample.org/m", False),
        ("https://models.example@evil.example/m", False),
        ("https://models.example.evil.example/m", False),
        ("https://[fd00::7]:8443/m", True),
        ("https://[fd00::7]/m", False),
    ],
)
def test_hosts_are_listed_by_name_port_or_domain(uri, listed):
    sources = Sources(("models.example", "other.example:8443", "*.example.org", "[fd00::7]:8443"))
    assert sources.lists(URL(uri)) == listed


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.7", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("::ffff:169.254.169.254", False),
        ("2002:a9fe:a9fe::1", False),
        ("64:ff9b::10.0.0.7", False),
    ],
)
def test_addresses_that_are_not_the_internets(address, public):
    assert is_public(ip_address(address)) == public


@pytest.mark.parametrize(
    "target",
    ["https://169.254.169.254/latest", "https://10.0.0.7/m", "https://[::1]/m", "https://[::ffff:a00:7]/m"],
)
def test_no_redirect_leads_to_a_private_address(tmp_path, target):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    error, requests = fetch(tmp_path, Sources(("127.0.0.1:{port}",)), "https://127.0.0.1:{port}/m", answer)
    assert isinstance(error, RefusedByServerError)
    assert f"points to {target}, which is no public address" in str(error)
    assert len(requests) == 1


def test_nor_to_a_name_that_has_one(tmp_path, resolving):
    resolving(elsewhere="127.0.0.1")

    async def answer(request: web.Request) -> web.StreamResponse:
        port = request.url.port
        return web.Response(status=302, headers={"Location": f"https://elsewhere.example:{port}/m"})

    error, requests = fetch(tmp_path, Sources(("127.0.0.1:{port}",)), "https://127.0.0.1:{port}/m", answer)
    assert isinstance(error, RefusedByServerError)
    assert "elsewhere.example has the address 127.0.0.1, from which no model may come" in str(error)
    assert len(requests) == 1


def test_a_listed_host_may_be_in_the_cluster_but_not_on_the_link(tmp_path, resolving):
    file, _ = fetch(tmp_path, Sources(("localhost:{port}",)), "https://localhost:{port}/m")
    assert file.read_bytes() == b"model"
    resolving(metadata="169.254.169.254")
    for host in ("metadata.example", "169.254.169.254"):
        error, requests = fetch(tmp_path, Sources((host,)), f"https://{host}/m")
        assert isinstance(error, FetchError)
        assert "169.254.169.254, from which no model may come" in str(error)
        assert requests == []


def test_a_redirect_to_another_listed_host_is_followed(tmp_path):
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/moved":
            port = request.url.port
            return web.Response(status=302, headers={"Location": f"https://localhost:{port}/m"})
        return web.Response(body=b"model")

    hosts = ("127.0.0.1:{port}", "localhost:{port}")
    file, requests = fetch(tmp_path, Sources(hosts), "https://127.0.0.1:{port}/moved", answer)
    assert file.read_bytes() == b"model"
    assert requests == ["/moved", "/m"]


def test_messages_leave_out_what_lets_somebody_in(tmp_path):
    assert shown(URL("https://me:pass@models.example/m?X-Amz-Signature=abc#d")) == "https://models.example/m"
    error, requests = fetch(tmp_path, Sources(("127.0.0.1:{port}",)), "https://me:pass@127.0.0.1:{port}/m")
    assert isinstance(error, NotAllowedError)
    assert "do not belong into a manifest" in str(error)
    assert "pass@" not in str(error)
    assert requests == []


def local(tmp_path: Path, sources: Sources, uri: str) -> Path:
    return asyncio.run(ModelStore(tmp_path / "store", SETTINGS, sources=sources).fetch(Model(uri, None)))


def test_files_only_of_listed_folders(tmp_path):
    models, other = tmp_path / "models", tmp_path / "models-of-others"
    for folder in (models, other):
        (folder / "below").mkdir(parents=True)
        (folder / "below" / "m.onnx").write_bytes(b"model")
    (models / "out.onnx").symlink_to(other / "below" / "m.onnx")
    (models / "in.onnx").symlink_to(models / "below" / "m.onnx")
    sources = Sources((), (models,))
    there = (models / "below" / "m.onnx").resolve()
    assert local(tmp_path, sources, str(there)) == there
    assert local(tmp_path, sources, f"file://{models}/in.onnx") == there
    for uri in (
        str(other / "below" / "m.onnx"),
        f"{models}/../models-of-others/below/m.onnx",
        f"file://{models}/%2e%2e/models-of-others/below/m.onnx",
        str(models / "out.onnx"),
        "below/m.onnx",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ):
        with pytest.raises(NotAllowedError, match=rf"is in no folder with models: .*\({models}\).*agent\.volumeMounts"):
            local(tmp_path, sources, uri)


def test_no_list_allows_the_agents_own_files(tmp_path):
    own = tmp_path / "cache"
    own.mkdir()
    (own / "m.onnx").write_bytes(b"model")
    (tmp_path / "m.onnx").write_bytes(b"model")
    sources = Sources((), (Path("/"),), (own,))
    assert local(tmp_path, sources, str(tmp_path / "m.onnx")) == (tmp_path / "m.onnx").resolve()
    for uri in (str(own / "m.onnx"), "/proc/self/environ", "/etc/passwd", "/run/secrets/token"):
        with pytest.raises(NotAllowedError, match="is in no folder with models"):
            local(tmp_path, sources, uri)
