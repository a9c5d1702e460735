"""Models from servers that ask who is there, with Secrets of a real API server's, which their owner lets be read."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from model_server import Server, in_a_thread
from onnx import TensorProto, helper

PASSWORD = "open-sesame"
BASIC = f"Basic {base64.b64encode(f'reader:{PASSWORD}'.encode()).decode()}"


def thief(other: Path) -> bytes:
    """A model whose weights are another's file, as it lies beside its own in the agent's cache."""
    location = f"{hashlib.sha256(other.read_bytes()).hexdigest()}.onnx"
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "length": "16"}.items():
        weight.external_data.add(key=key, value=value)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "thief", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture
def model_server(models, tmp_path) -> Iterator[Server]:
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
        if request.path == "/thief.onnx":
            return web.Response(body=thief(models / "2.onnx"))
        if request.headers.get("Authorization") != BASIC:
            return web.Response(status=401)
        return web.Response(body=(models / "2.onnx").read_bytes())

    server = Server(answer)
    server.authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    with in_a_thread(server):
        yield server


def test_a_secret_is_read_once_its_owner_lets_agents(
    agent, replica, models, cluster, namespace, model_server, tmp_path
):
    address = f"127.0.0.1:{model_server.port}"
    node = agent(
        "alpha", options=["--model-ca", str(tmp_path / "ca.crt"), "--model-hosts", address, "--model-folders", ""]
    )
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


def test_how_far_a_download_is_stands_in_the_replicas_status(agent, replica, model_server, eventually, tmp_path):
    address = f"127.0.0.1:{model_server.port}"
    agent("alpha", options=["--model-ca", str(tmp_path / "ca.crt"), "--model-hosts", address])
    one = replica("slow", "alpha")
    one.manifest["spec"]["template"]["tiers"][0]["model"] = {"uri": f"https://{address}/slow.onnx"}
    one.create()

    def message() -> bool:
        return "fetching tier tier-0, 12 of 30 MiB" in one.wait_for("Loaded", "False", "Loading")["message"]

    eventually(message, 30.0)


def test_a_model_cannot_take_what_was_fetched_for_another(agent, replica, model_server, tmp_path):
    address = f"127.0.0.1:{model_server.port}"
    agent("alpha", options=["--model-ca", str(tmp_path / "ca.crt"), "--model-hosts", address])
    one = replica("thief", "alpha")
    one.manifest["spec"]["template"]["tiers"][0]["model"] = {"uri": f"https://{address}/thief.onnx"}
    one.create()
    refused = one.wait_for("Loaded", "False", "ModelInvalid")
    assert "w: external data cannot be fetched along: save the model as one file" in refused["message"]
