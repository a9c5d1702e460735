"""Agents as processes against an API server that the tests play: what `tests/cluster` does with a real one.

It knows lists, watches, resource versions, uids and server-side apply as far as an agent uses them, and no roles.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
import yaml
from scaling_model import scaling_model

from bed.addresses import free_port
from bed.eventually import eventually
from bed.program import Program

Object = dict[str, Any]

WIDTH = 4
REPLICAS = "/apis/treadle.dev/v1alpha1/namespaces/default/inferencereplicas"
NODES = "/apis/treadle.dev/v1alpha1/inferencenodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/treadle-system/leases"
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class RefusedError(Exception):
    """Raised when a request is answered with an HTTP status that is no success."""


class PlayedApi:
    """The objects by path, and what has happened to them since the beginning."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._events: list[tuple[int, str, str, Object]] = []  # version, type, path, object
        self._uids = 0
        self._changed = threading.Condition()
        self._closed = False
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._http.shutdown()
        self._thread.join(10)
        self._http.server_close()

    def get(self, path: str) -> Object | None:
        with self._changed:
            return self._objects.get(path)

    def find(self, path: str) -> Object:
        found = self.get(path)
        assert found is not None, path
        return found

    def create(self, path: str, manifest: Mapping[str, Any]) -> Object:
        """Create an object at its own path."""
        with self._changed:
            if path in self._objects:
                raise RefusedError(409)
            self._uids += 1
            metadata = {**manifest["metadata"], "name": path.rpartition("/")[2], "uid": f"uid-{self._uids}"}
            parts = path.split("/")
            if "namespaces" in parts:
                metadata["namespace"] = parts[parts.index("namespaces") + 1]
            return self._put("ADDED", path, {**manifest, "metadata": {**metadata, "generation": 1}})

    def update(self, path: str, changes: Mapping[str, Any]) -> Object:
        """Replace members of an object (``spec``, ``status``); another spec is another generation."""
        with self._changed:
            old = self._objects.get(path)
            if old is None:
                raise RefusedError(404)
            asked = changes.get("metadata", {})
            for key in ("uid", "resourceVersion"):
                if asked.get(key, old["metadata"][key]) != old["metadata"][key]:
                    raise RefusedError(409)
            new = {**old, **{key: value for key, value in changes.items() if key in ("spec", "status")}}
            generation = old["metadata"]["generation"] + (new.get("spec") != old.get("spec"))
            new["metadata"] = {**old["metadata"], "generation": generation}
            return self._put("MODIFIED", path, new)

    def delete(self, path: str) -> Object:
        with self._changed:
            if path not in self._objects:
                raise RefusedError(404)
            gone = self._put("DELETED", path, self._objects[path])
            del self._objects[path]
            return gone

    def list(self, collection: str, fields: str) -> Object:
        with self._changed:
            items = [one for path, one in self._objects.items() if _selects(collection, fields, path, one)]
            return {"items": items, "metadata": {"resourceVersion": str(len(self._events))}}

    def watch(self, collection: str, fields: str, since: int) -> Iterator[Object]:
        """What has happened after a version, and happens, until the server is closed."""
        while True:
            with self._changed:
                while not self._closed and len(self._events) <= since:
                    self._changed.wait()
                if self._closed:
                    return
                fresh, since = self._events[since:], len(self._events)
            for _, type_, path, manifest in fresh:
                if _selects(collection, fields, path, manifest):
                    yield {"type": type_, "object": manifest}

    def states(self, path: str, type_: str) -> list[tuple[str, str]]:
        """Status and reason of an object's condition after each change of the object."""
        with self._changed:
            return [condition(manifest, type_) for _, _, changed, manifest in self._events if changed == path]

    def _put(self, type_: str, path: str, manifest: Object) -> Object:
        version = len(self._events) + 1
        self._objects[path] = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(version)}}
        self._events.append((version, type_, path, self._objects[path]))
        self._changed.notify_all()
        return self._objects[path]


def _selects(collection: str, fields: str, path: str, manifest: Object) -> bool:
    kind = collection.rpartition("/")[2]
    if path.rpartition("/")[0].rpartition("/")[2] != kind:
        return False
    key, _, value = fields.partition("=")
    part, _, name = key.partition(".")
    return not fields or manifest.get(part, {}).get(name) == value


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: PlayedApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def api(self) -> PlayedApi:
        assert isinstance(self.server, _Server)
        return self.server.api

    def do_GET(self) -> None:
        path, query = self._asked()
        if "fieldSelector" not in query:
            found = self.api.get(path)
            self._answer(200 if found else 404, found or {"code": 404, "message": "not found"})
        elif "watch" in query:
            self._stream(self.api.watch(path, query["fieldSelector"], int(query["resourceVersion"])))
        else:
            self._answer(200, self.api.list(path, query["fieldSelector"]))

    def do_POST(self) -> None:
        path, body = self._asked()[0], self._body()
        if path == SELF_REVIEWS:
            self._answer(201, {"status": {"userInfo": {"username": "admin"}}})
            return
        self._try(lambda: self.api.create(f"{path}/{body['metadata']['name']}", body))

    def do_PUT(self) -> None:
        path, body = self._asked()[0], self._body()
        self._try(lambda: self.api.update(path, body))

    def do_PATCH(self) -> None:
        path, body = self._asked()[0], self._body()
        if path.endswith("/status"):
            self._try(lambda: self.api.update(path.removesuffix("/status"), body))
        elif self.api.get(path) is None:
            self._try(lambda: self.api.create(path, body))
        else:
            self._try(lambda: self.api.update(path, body))

    def do_DELETE(self) -> None:
        self._body()
        self._try(lambda: self.api.delete(self._asked()[0]))

    def log_message(self, *_: object) -> None:
        pass

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        return parts.path, dict(urllib.parse.parse_qsl(parts.query))

    def _body(self) -> Object:
        body: Object = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        return body

    def _try(self, work: Callable[[], Object]) -> None:
        try:
            self._answer(200, work())
        except RefusedError as refused:
            self._answer(refused.args[0], {"code": refused.args[0], "message": "refused"})

    def _answer(self, status: int, document: Object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: Iterator[Object]) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for event in events:
                self.wfile.write(json.dumps(event).encode() + b"\n")
        except OSError:
            pass  # whoever watched has gone


@pytest.fixture
def api() -> Iterator[PlayedApi]:
    """An API server with a leader of epoch 1."""
    played = PlayedApi()
    spec = {"holderIdentity": "operator", "leaseTransitions": 1}
    played.create(f"{LEASES}/treadle-operator", {"metadata": {}, "spec": spec})
    yield played
    played.close()


@dataclass
class Agent:
    """One `python -m treadle_agent`, and what the API server has of it."""

    api: PlayedApi
    name: str
    address: str
    program: Program

    def ready(self) -> tuple[str, str]:
        """Status and reason of the node's condition Ready."""
        return condition(self.api.find(f"{NODES}/{self.name}"), "Ready")

    def leases(self) -> bool:
        """Whether its Lease is there."""
        return self.api.get(f"{LEASES}/treadle-node-{self.name}") is not None


def condition(manifest: Object, type_: str) -> tuple[str, str]:
    """Status and reason of an object's condition, ("", "") where there is none."""
    found = [one for one in manifest.get("status", {}).get("conditions", []) if one["type"] == type_]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


@dataclass
class Replica:
    """One InferenceReplica, written as the operator writes it."""

    api: PlayedApi
    path: str
    manifest: Object

    def create(self) -> Replica:
        self.api.create(self.path, self.manifest)
        return self

    def patch(self, **spec: Any) -> None:
        self.api.update(self.path, {"spec": {**self.api.find(self.path)["spec"], **spec}})

    def delete(self) -> None:
        self.api.delete(self.path)

    def condition(self, type_: str) -> tuple[str, str]:
        return condition(self.api.find(self.path), type_)

    def wait_for(self, type_: str, *expected: str, seconds: float = 60.0) -> None:
        """Until a condition has a status, and a reason where one is given."""

        def check() -> bool:
            found = self.condition(type_)
            assert found[: len(expected)] == expected, found
            return True

        eventually(check, seconds)


@pytest.fixture
def replica(api: PlayedApi, models: Path) -> Callable[..., Replica]:
    """Makes replicas: ``replica(tenant, node, factor, **spec)``, not created yet."""

    def make(tenant: str, node: str, factor: int = 2, deadline: str = "20s", **spec: Any) -> Replica:
        model = {"uri": str(models / f"{factor}.onnx")}
        manifest = {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceReplica",
            "metadata": {},
            "spec": {
                "tenantName": tenant, "tenantGeneration": 1, "nodeName": node, "device": "host", "epoch": 1,
                "template": {
                    "slo": {"deadline": deadline}, "tiers": [{"name": "only", "accuracy": "90", "model": model}],
                },
                **spec,
            },
        }  # fmt: skip
        return Replica(api, f"{REPLICAS}/{tenant}-{node}", manifest)

    return make


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models 2.onnx and 3.onnx: y = factor · x."""
    folder = tmp_path_factory.mktemp("models")
    for factor in (2, 3):
        onnx.save(scaling_model(factor, WIDTH), folder / f"{factor}.onnx")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all agents keep what is compiled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def agent(api: PlayedApi, cache: Path, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Starts agents: ``agent(name, *options)``; each must have ended at the end without a traceback."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "a", "cluster": {"server": api.url}}],
                "users": [{"name": "a", "user": {}}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "current-context": "a",
            }
        )
    )
    made: list[Agent] = []

    def start(name: str, *options: str) -> Agent:
        address = f"127.0.0.1:{free_port('0.0.0.0')}"
        command = [
            sys.executable, "-m", "treadle_agent", "--node-name", name, "--port", address.rpartition(":")[2],
            "--address", address, "--device", "host", "--kubeconfig", str(kubeconfig), *options,
        ]  # fmt: skip
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
        program = Program(name, command, environment, tmp_path / f"{len(made)}-{name}.log")
        program.start()
        made.append(Agent(api, name, address, program))
        return made[-1]

    yield start
    for one in made:
        one.program.kill()
        assert "Traceback" not in one.program.output, one.program.tail(100)


def infer(address: str, tenant: str, x: float = 1.0) -> float:
    """What a tenant makes of `x`; raises InferenceServerException, or what a lost connection raises."""
    with triton.InferenceServerClient(address, network_timeout=30.0, connection_timeout=30.0) as client:
        tensor = triton.InferInput("x", [1, WIDTH], "FP32")
        tensor.set_data_from_numpy(np.full((1, WIDTH), x, dtype=np.float32))
        result = client.infer(tenant, [tensor]).as_numpy("y")
        assert result is not None
        return float(result[0, 0])


@pytest.fixture(name="infer")
def infer_fixture() -> Callable[..., float]:
    return infer


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """`eventually(check, seconds)`."""
    return eventually
