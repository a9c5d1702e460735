"""Models from servers that ask who is there, with Secrets of a real API server's, which their owner lets be read."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shlex
from collections.abc import Iterator

import pytest
from aiohttp import web
from model_server import Server, in_a_thread

PASSWORD = "open-sesame"
BASIC = f"Basic {base64.b64encode(f'reader:{PASSWORD}'.encode()).decode()}"


@pytest.fixture
def model_server(models, monkeypatch, tmp_path) -> Iterator[Server]:
    """Has 2.onnx for those who have the password, and, for all, a slow one; the agents trust it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow.onnx":
            response = web.StreamResponse(headers={"Content-Length": str(30 << 20)})
            await response.prepare(request)
            await response.write(bytes(12 << 20))
            try:
                await asyncio.sleep(30)
            finally:
                request.transport.abort()
            return response
        if request.headers.get("Authorization") != BASIC:
            return web.Response(status=401)
        return web.Response(body=(models / "2.onnx").read_bytes())

    server = Server(answer)
    server.authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with in_a_thread(server):
        yield server


def test_a_secret_is_read_once_its_owner_lets_agents(agent, replica, models, cluster, namespace, model_server):
    address = f"127.0.0.1:{model_server.port}"
    node = agent("alpha", options=["--model-hosts", address, "--model-folders", ""])
    digest = hashlib.sha256((models / "2.onnx").read_bytes()).hexdigest()
    one = replica("private", "alpha")
    one.manifest["spec"]["template"]["tiers"][0]["model"] = {
        "uri": f"https://{address}/2.onnx", "sha256": digest, "secretName": "reader",
    }  # fmt: skip
    other = replica("elsewhere", "alpha")
    for it in (one, other):
        it.create()
    refused = one.wait_for("Loaded", "False", "ModelRefused")
    assert refused["message"].startswith("spec.tiers[tier-0].model.secretName: agents may not read Secret reader")
    apart = other.wait_for("Loaded", "False", "ModelRefused")
    assert re.search(r"model\.uri: .*/2\.onnx is in no folder with models", apart["message"])

    login = ["--from-literal=username=reader", f"--from-literal=password={PASSWORD}"]
    cluster.kubectl("create", "secret", "generic", "reader", "-n", namespace, *login)
    fix = re.search(r"lets them: \((.*)\)", refused["message"])
    for command in fix[1].split(" && "):
        program, *words = shlex.split(command)
        assert program == "kubectl"
        cluster.kubectl(*words)
    one.wait_for("Loaded", "True", seconds=90.0)
    assert set(model_server.requests) == {"/2.onnx"}
    assert PASSWORD not in node.program.output
    assert BASIC not in node.program.output


def test_how_far_a_download_is_stands_in_the_replicas_status(agent, replica, model_server, eventually):
    address = f"127.0.0.1:{model_server.port}"
    agent("alpha", options=["--model-hosts", address])
    one = replica("slow", "alpha")
    one.manifest["spec"]["template"]["tiers"][0]["model"] = {"uri": f"https://{address}/slow.onnx"}
    one.create()

    def message() -> bool:
        return "fetching tier tier-0, 12 of 30 MiB" in one.wait_for("Loaded", "False", "Loading")["message"]

    eventually(message, 30.0)
