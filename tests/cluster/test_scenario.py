"""The README's story, as its reader types it: apply a tenant, use it, overload it, lose its node, delete it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bed import deployment
from bed.audit import read_requests
from bed.cluster import SYSTEM_NAMESPACE, TREE, Cluster
from bed.deployment import Agent
from bed.program import Program

EXAMPLES = TREE / "examples"
TENANT = "under-load"  # of examples/under-load.yaml
IMAGES, ROWS = 200, 10

Eventually = Callable[..., Any]
Started = Callable[[Program], Program]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the examples' models in it."""
    made = tmp_path_factory.mktemp("examples")
    subprocess.run([sys.executable, EXAMPLES / "make_models.py", made / "models"], timeout=120, check=True)
    return made


@dataclass(frozen=True, slots=True)
class Scene:
    """A cluster with an operator and two agents, and what a person looks at in one namespace."""

    cluster: Cluster
    namespace: str
    agents: tuple[Agent, Agent]

    def kubectl(self, *arguments: str | Path, seconds: float = 60.0) -> str:
        return self.cluster.kubectl(*arguments, "-n", self.namespace, seconds=seconds)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.cluster.get("it", TENANT, "-n", self.namespace).get("status", {})
        return status

    def endpoints(self) -> list[str]:
        """HOST:PORT of what the tenant's Service leads to now."""
        mine = f"kubernetes.io/service-name={TENANT}-treadle"
        slices = self.cluster.get("endpointslices", "-n", self.namespace, "-l", mine)
        return [
            f"{address}:{port['port']}"
            for each in slices["items"]
            for port in each["ports"]
            for endpoint in each["endpoints"]
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        ]

    def serving(self) -> Agent:
        """The agent that the one endpoint is of."""
        (endpoint,) = self.endpoints()
        return next(agent for agent in self.agents if agent.address == endpoint)

    def reasons(self) -> list[str]:
        """Of the Events, one each."""
        return self.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        manifest = {"apiVersion": "treadle.dev/v1alpha1", "kind": "InferenceTenant", "metadata": {"name": name}}
        self.cluster.apply({**manifest, "spec": spec}, "-n", self.namespace)

    def why_not_admitted(self, name: str) -> str | None:
        """The reason, where a tenant is refused."""
        conditions = self.cluster.get("it", name, "-n", self.namespace).get("status", {}).get("conditions", [])
        said = (one for one in conditions if (one["type"], one["status"]) == ("Admitted", "False"))
        return next((one["reason"] for one in said), None)

    def notes(self, name: str) -> list[str]:
        """What Events say of a tenant."""
        events = self.cluster.get("events", "-n", self.namespace, "--field-selector", f"involvedObject.name={name}")
        return [event["message"] for event in events["items"]]

    def leftovers(self) -> str:
        kinds = "inferencetenants,inferencereplicas,services,endpointslices"
        return self.kubectl("get", kinds, "-o", "name").strip()


@pytest.fixture
def scene(clean_cluster: Cluster, namespace: str, folder: Path, started: Started, eventually: Eventually) -> Scene:
    clean_cluster.apply_rbac()
    started(deployment.operator(clean_cluster, "operator"))
    agents = tuple(deployment.agent(clean_cluster, name, folder=folder) for name in ("node-a", "node-b"))
    for agent in agents:
        started(agent.program)
    eventually(lambda: all(clean_cluster.exists("inode", agent.node) for agent in agents), seconds=60)
    return Scene(clean_cluster, namespace, agents)


def classify(base_url: str, eventually: Eventually) -> tuple[float, set[str]]:
    """The share of images that are read right, and the tiers that read them."""
    digits = load_digits()
    right, tiers = 0, set()
    for begin in range(0, IMAGES, ROWS):
        images, labels = digits.data[begin : begin + ROWS] / 16, digits.target[begin : begin + ROWS]
        answer = eventually(lambda images=images: infer(base_url, images), seconds=20)
        scores = np.reshape(answer["outputs"][0]["data"], (ROWS, -1))
        right += int((scores.argmax(axis=1) == labels).sum())
        tiers.add(answer["parameters"]["tier"])
    return right / IMAGES, tiers


def infer(base_url: str, images: np.ndarray) -> dict[str, Any] | None:
    """The answer; None where it would have come too late, as on a machine that is busy with other things."""
    tensor = {"name": "image", "shape": list(images.shape), "datatype": "FP32", "data": images.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    try:
        with urllib.request.urlopen(f"{base_url}/v2/models/{TENANT}/infer", data=body, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        return None


def is_served(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/v2/models/{TENANT}", timeout=60):
            return True
    except urllib.error.HTTPError as error:
        with error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
        return False


def test_a_tenants_life(scene: Scene, started: Started, eventually: Eventually) -> None:
    looking = ("get", "it", "-w", "-n", scene.namespace)
    watch = started(scene.cluster.program("watch", scene.cluster.kubectl_binary, *looking))

    # It is placed and served.
    scene.kubectl("apply", "-f", EXAMPLES / "under-load.yaml")
    scene.kubectl("wait", f"it/{TENANT}", "--for=condition=Ready", "--timeout=90s", seconds=100)
    first = scene.serving()
    right, tiers = classify(f"http://{first.address}", eventually)
    assert right > 0.97
    assert "deep" in tiers

    # One whose models are not what its manifest says is told so, and costs nobody else anything.
    mistakes = {
        "absent": ("ModelNotFound", {"uri": "models/nowhere.onnx"}),
        "altered": ("DigestMismatch", {"uri": "models/deep.onnx", "sha256": "0" * 64}),
    }
    for name, (_, model) in mistakes.items():
        tiers = [{"name": "only", "accuracy": "90", "model": model}]
        scene.apply(name, {"slo": {"deadline": "1s"}, "tiers": tiers})
    for name, (reason, _) in mistakes.items():
        eventually(lambda name=name, reason=reason: scene.why_not_admitted(name) == reason, seconds=20)
        eventually(lambda name=name, reason=reason: any(reason in note for note in scene.notes(name)), seconds=10)
    scene.kubectl("delete", "it", *mistakes, "--timeout=20s")

    # A burst changes its tier.
    options = ("--rate", "1200", "--seconds", "60")
    burst = scene.cluster.program("burst", sys.executable, EXAMPLES / "load.py", first.url, TENANT, *options)
    started(burst)
    eventually(lambda: scene.status().get("activeTier") == "medium", seconds=60)
    burst.kill()
    eventually(lambda: "Degraded" in scene.reasons(), seconds=10)
    watch.wait_for(rf"^{TENANT} +100ms +True +True +\w+ +1 +medium ", seconds=10)

    # Its node is lost: the other one takes over.
    first.program.kill()
    (survivor,) = (agent for agent in scene.agents if agent is not first)
    eventually(lambda: scene.endpoints() == [survivor.address], seconds=45)  # for 15 s its Lease still holds
    assert classify(f"http://{survivor.address}", eventually)[0] > 0.97
    assert "NodeLost" in scene.reasons()

    # Service is as good as it was. Of tens of thousands of requests a handful of Events tell.
    eventually(lambda: "Restored" in scene.reasons(), seconds=60)
    assert sum(scene.reasons().count(reason) for reason in ("Degraded", "Restored")) <= 6

    # Nothing of it stays.
    scene.kubectl("delete", "it", TENANT, "--timeout=20s")
    eventually(lambda: not scene.leftovers(), seconds=20)
    eventually(lambda: not is_served(survivor.url), seconds=20)

    # The roles that are shipped were enough.
    ours = {f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-{name}" for name in ("operator", "agent")}
    asked = [request for request in read_requests(scene.cluster.control_plane.audit_log) if request.user in ours]
    assert {request.user for request in asked} == ours
    assert [request for request in asked if not request.permitted] == []
