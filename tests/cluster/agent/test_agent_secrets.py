"""With everything logged that anything in the agent has to say: no token, no Secret's value, nobody's password."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from model_server import Server, in_a_thread

from bed.credentials import read_token

PASSWORD, WRONG, IN_URI, SIGNATURE = "open-sesame", "close-sesame", "uri-sesame", "signed-sesame"
FORGED = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2JvZHkifQ.Zm9yZ2VkLXNlc2FtZQ"


def basic(password: str) -> str:
    return base64.b64encode(f"reader:{password}".encode()).decode()


@pytest.fixture
def body(model: Callable[[Path, float], Path], tmp_path: Path) -> bytes:
    """A model that no other test has left in the agents' cache."""
    return model(tmp_path / "own.onnx", 7.0).read_bytes()


@pytest.fixture
def model_server(body: bytes, tmp_path: Path) -> Iterator[Server]:
    """Has own.onnx for those who have the password."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Basic {basic(PASSWORD)}":
            return web.Response(status=401, text=f"not {request.headers.get('Authorization')}")
        return web.Response(body=body)

    server = Server(answer)
    server.authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    with in_a_thread(server):
        yield server


def test_no_secret_is_ever_logged(
    agent, replica, body, cluster, namespace, model_server, tmp_path, proxy, eventually
):  # fmt: skip
    host = f"127.0.0.1:{model_server.port}"
    way = proxy()
    options = ["--model-ca", str(tmp_path / "ca.crt"), "--model-hosts", host, "--auth-audience", "treadle.dev"]
    it = agent("alpha", options=options, debug=True, server=way.url)
    for name, password in (("reader", PASSWORD), ("mistaken", WRONG)):
        login = ["--from-literal=username=reader", f"--from-literal=password={password}"]
        cluster.kubectl("create", "secret", "generic", name, "-n", namespace, *login)
    digest = hashlib.sha256(body).hexdigest()
    places: dict[str, dict[str, Any]] = {
        "private": {"uri": f"https://{host}/own.onnx", "sha256": digest, "secretName": "reader"},
        "mistaken": {"uri": f"https://{host}/other.onnx", "secretName": "mistaken"},
        "in-uri": {"uri": f"https://me:{IN_URI}@{host}/own.onnx"},
        "signed": {"uri": f"https://{host}/own.onnx?X-Amz-Signature={SIGNATURE}"},
    }
    made = {name: replica(name, "alpha") for name in places}
    for name, model in places.items():
        made[name].manifest["spec"]["template"]["tiers"][0]["model"] = model
        made[name].create()
    refused = made["private"].wait_for("Loaded", "False", "ModelRefused")
    for command in re.search(r"lets them: \((.*)\)", refused["message"])[1].split(" && "):
        cluster.kubectl(*shlex.split(command)[1:])
    role = re.search(r"create role (\S+)", refused["message"])[1]
    patch = '[{"op": "add", "path": "/rules/0/resourceNames/-", "value": "mistaken"}]'
    cluster.kubectl("patch", "role", role, "-n", namespace, "--type=json", "-p", patch)
    made["private"].wait_for("Loaded", "True", seconds=90.0)
    for name in ("mistaken", "in-uri", "signed"):
        eventually(lambda name=name: made[name].condition("Loaded")[1] == "ModelRefused", 90.0)
    eventually(lambda: "/other.onnx" in model_server.requests, 90.0)

    cluster.kubectl("create", "serviceaccount", "caller", "-n", namespace)
    tokens = [cluster.kubectl("create", "token", "caller", "-n", namespace, *flags).strip()
              for flags in (("--audience=treadle.dev",), ("--audience=other",))]  # fmt: skip
    assert [it.ask("/v2/models/private", token) for token in (*tokens, FORGED)] == [403, 401, 401]
    way.cut()
    assert it.ask("/v2/models/private", f"{FORGED}x") == 503
    it.program.stop()

    log, own = it.program.output, read_token(it.kubeconfig)
    assert "DEBUG:" in log
    said = [*tokens, FORGED, own, PASSWORD, WRONG, basic(PASSWORD), basic(WRONG), SIGNATURE, IN_URI]
    assert [secret for secret in said if secret in log] == []
    for name in places:
        assert not any(secret in str(made[name].status()) for secret in said), name
