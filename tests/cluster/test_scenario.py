"""The README's story, as its reader types it: apply a tenant, use it, overload it, lose its node, delete it."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bed import deployment
from bed.cluster import Cluster
from bed.deployment import Agent
from bed.program import Program
from treadle.load.process import LoadProcess
from treadle.load.schedule import Phase, constant
from treadle.load.targets import infer_target

WIDTHS = {"large": 3072, "small": 16}  # hidden units: milliseconds and microseconds a row
INPUTS = 8

TENANT = """
apiVersion: treadle.dev/v1alpha1
kind: InferenceTenant
metadata:
  name: digits
spec:
  slo: {deadline: 200ms, minAccuracy: "80"}
  tiers:
    - {name: large, accuracy: "98", model: {uri: "file://MODELS/large.onnx"}}
    - {name: small, accuracy: "86", model: {uri: "file://MODELS/small.onnx"}}
"""

Eventually = Callable[..., Any]


def write_model(path: Path, width: int) -> None:
    """Two hidden layers of a width; its answer for a row x is 10 equal numbers, the sum of what is positive in x."""
    spread = np.zeros((INPUTS, width), np.float32)
    spread[:, :INPUTS] = np.eye(INPUTS)
    mixed = np.eye(width, dtype=np.float32)
    summed = np.ones((width, 10), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "spread"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "mixed"], ["c"]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("MatMul", ["d", "summed"], ["y"]),
        ],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for array, name in
         ((spread, "spread"), (mixed, "mixed"), (summed, "summed"))],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, width in WIDTHS.items():
        write_model(folder / f"{name}.onnx", width)
    return folder


@dataclass
class Scene:
    """A cluster with an operator and two agents, and what a person does to it in one namespace."""

    cluster: Cluster
    namespace: str
    agents: dict[str, Agent]

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return self.cluster.kubectl(*arguments, "-n", self.namespace, **options)

    def tenant(self) -> dict[str, Any]:
        return self.cluster.get("it", "digits", "-n", self.namespace)

    def condition(self, type_: str) -> str:
        conditions = self.tenant().get("status", {}).get("conditions", [])
        return next((each["status"] for each in conditions if each["type"] == type_), "")

    def endpoints(self) -> list[str]:
        """HOST:PORT of what the tenant's Service leads to now."""
        slices = self.cluster.get(
            "endpointslices", "-n", self.namespace, "-l", "kubernetes.io/service-name=digits-treadle"
        )
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
        return next(agent for agent in self.agents.values() if agent.address == endpoint)

    def leftovers(self) -> str:
        kinds = "inferencetenants,inferencereplicas,services,endpointslices"
        return self.kubectl("get", kinds, "-o", "name").strip()


@pytest.fixture
def scene(clean_cluster: Cluster, namespace: str, started: Callable[[Program], Program]) -> Scene:
    clean_cluster.apply_rbac()
    started(deployment.operator(clean_cluster, "operator"))
    agents = {name: deployment.agent(clean_cluster, name) for name in ("node-a", "node-b")}
    for agent in agents.values():
        started(agent.program)
    return Scene(clean_cluster, namespace, agents)


def infer(base_url: str, row: list[float]) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, INPUTS], "datatype": "FP32", "data": row}
    body = json.dumps({"inputs": [tensor]}).encode()
    with urllib.request.urlopen(f"{base_url}/v2/models/digits/infer", data=body, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


@contextmanager
def load(base_url: str, rate: float, seconds: float) -> Iterator[None]:
    """`rate` requests a second for at most `seconds`, from a process of its own, as long as the context lasts."""
    target = infer_target("digits", [{"x": np.ones((1, INPUTS), np.float32)}], binary=True)
    schedule = constant([Phase(seconds, rate)], seed=1)
    left = threading.Event()

    async def run() -> None:
        async with LoadProcess([target], schedule, base_url, connections=256) as process:
            async for _ in process:
                if left.is_set():
                    return

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join(30)


def test_a_tenants_life(scene: Scene, models: Path, eventually: Eventually, program: Callable[..., Program]) -> None:
    watch = program("watch", scene.cluster.kubectl_binary, "get", "it", "-n", scene.namespace, "-w")
    for name in scene.agents:
        eventually(lambda name=name: scene.cluster.exists("inode", name))

    scene.kubectl("apply", "-f", "-", stdin=TENANT.replace("MODELS", str(models)))
    scene.kubectl("wait", "it/digits", "--for=condition=Ready", "--timeout=90s", seconds=100)
    assert scene.condition("Admitted") == "True"
    first = scene.serving()
    row = [1.0, 2.0, -3.0, 0.0, 0.0, 0.5, 0.0, 0.0]
    answer = infer(f"http://{first.address}", row)
    assert answer["outputs"][0]["data"] == [3.5] * 10
    assert answer["parameters"]["tier"] == "large"

    with load(first.url, rate=1500, seconds=90):
        eventually(lambda: scene.tenant()["status"].get("activeTier") == "small", seconds=60)
    watch.wait_for(r"digits.* small ", seconds=10)

    first.program.kill()
    survivor = next(agent for agent in scene.agents.values() if agent is not first)
    eventually(lambda: scene.endpoints() == [survivor.address], seconds=35)  # its Lease lasts 15 s
    assert infer(f"http://{survivor.address}", row)["outputs"][0]["data"] == [3.5] * 10

    scene.kubectl("delete", "it", "digits", "--timeout=20s")
    eventually(lambda: not scene.leftovers(), seconds=20)
