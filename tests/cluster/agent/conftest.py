"""Agents as nodes of the bed's cluster, and an operator that the tests play: they write replicas in its name."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from onnx import TensorProto, helper, numpy_helper

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.eventually import eventually
from bed.program import Program

WIDTH = 4
# `python -m treadle_agent`, with all that anything in the process has to say.
DEBUG = """\
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.Logger.setLevel = lambda *_: None
from treadle_agent.__main__ import main
sys.exit(main())
"""
LEADER = "treadle-operator"


def write_model(path: Path, factor: float) -> Path:
    """y = factor · x, through a hidden layer."""
    arrays = {"first": np.eye(WIDTH, dtype=np.float32), "second": factor * np.eye(WIDTH, dtype=np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "second"], ["y"]),
        ],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def infer(address: str, model: str, x: float = 1.0, **options: Any) -> float:
    """What a replica at `address` makes of `x`; raises InferenceServerException, or what a lost connection raises."""
    with triton.InferenceServerClient(address, network_timeout=30.0, connection_timeout=30.0) as client:
        return infer_by(client, model, x, **options)


def infer_by(client: triton.InferenceServerClient, model: str, x: float = 1.0, **options: Any) -> float:
    """As `infer`, over the connections of a client that is there."""
    tensor = triton.InferInput("x", [1, WIDTH], "FP32")
    tensor.set_data_from_numpy(np.full((1, WIDTH), x, dtype=np.float32))
    answer = client.infer(model, [tensor], **options)
    result = answer.as_numpy("y")
    assert result is not None
    return float(result[0, 0])


@dataclass
class Agent:
    """One `python -m treadle_agent`, and what the API server and its own port tell of it."""

    cluster: Cluster
    name: str
    address: str
    program: Program
    kubeconfig: Path  # by which the program knows the API server, and is known there

    def node(self) -> dict[str, Any]:
        return self.cluster.get("inode", self.name)

    def lease(self) -> dict[str, Any]:
        return self.cluster.get("lease", f"treadle-node-{self.name}", "-n", SYSTEM_NAMESPACE)

    def renewed(self) -> datetime:
        return datetime.fromisoformat(self.lease()["spec"]["renewTime"])

    def lease_age(self) -> float:
        return (datetime.now(UTC) - self.renewed()).total_seconds()

    def ask(self, path: str, token: str = "", body: bytes | None = None) -> int:
        """The status of a GET, or of a POST of `body`, in the name of a token's caller."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{self.address}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def is_ready(self) -> bool:
        found = self.cluster.get("inode", f"--field-selector=metadata.name={self.name}")["items"]
        return any(conditions(node).get("Ready", {}).get("status") == "True" for node in found)

    def wait_until_ready(self) -> None:
        eventually(self.is_ready)


@dataclass
class Replica:
    """One InferenceReplica, written as the operator writes it."""

    cluster: Cluster
    kubeconfig: Path
    namespace: str
    name: str
    manifest: dict[str, Any]

    def create(self) -> Replica:
        self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(self.manifest), kubeconfig=self.kubeconfig)
        return self

    def patch(self, **spec: Any) -> None:
        patch = json.dumps({"spec": spec})
        self.cluster.kubectl(
            "patch", "ir", self.name, "-n", self.namespace, "--type=merge", "-p", patch, kubeconfig=self.kubeconfig
        )

    def delete(self) -> None:
        self.cluster.kubectl("delete", "ir", self.name, "-n", self.namespace, kubeconfig=self.kubeconfig)

    def get(self) -> dict[str, Any]:
        return self.cluster.get("ir", self.name, "-n", self.namespace)

    def status(self) -> dict[str, Any]:
        return self.get().get("status", {})

    def condition(self, type_: str) -> tuple[str, str]:
        """Status and reason of a condition, ("", "") where there is none."""
        found = conditions(self.get()).get(type_, {})
        return found.get("status", ""), found.get("reason", "")

    def wait_for(self, type_: str, status: str, reason: str | None = None, seconds: float = 60.0) -> dict[str, Any]:
        """The condition, once it is so, and about the present spec."""

        def check() -> dict[str, Any] | None:
            manifest = self.get()
            found = conditions(manifest).get(type_, {})
            seen = found.get("status"), found.get("reason"), found.get("message")
            assert found.get("status") == status, seen
            assert reason in (None, found.get("reason")), seen
            assert reason == "StaleEpoch" or found["observedGeneration"] == manifest["metadata"]["generation"], seen
            return found

        return eventually(check, seconds)


def conditions(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in manifest.get("status", {}).get("conditions", [])}


@pytest.fixture(scope="session")
def accounts(cluster: Cluster) -> Cluster:
    """The cluster with the service accounts and roles that the chart ships."""
    cluster.apply_rbac()
    return cluster


@pytest.fixture(scope="session")
def operator(accounts: Cluster) -> Path:
    """A kubeconfig of the operator's service account."""
    return accounts.kubeconfig_for("treadle-operator")


@dataclass
class Leader:
    """The operator's Lease, whose `leaseTransitions` is the epoch."""

    cluster: Cluster
    kubeconfig: Path
    epoch: int = field(default=0, init=False)

    def lead(self, epoch: int) -> None:
        self.epoch = epoch
        manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEADER, "namespace": SYSTEM_NAMESPACE},
            "spec": {"holderIdentity": f"leader-{epoch}", "leaseTransitions": epoch, "leaseDurationSeconds": 15},
        }
        if self.cluster.exists("lease", LEADER, "-n", SYSTEM_NAMESPACE):
            self.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(manifest), kubeconfig=self.kubeconfig)
        else:
            self.cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest), kubeconfig=self.kubeconfig)


@pytest.fixture
def leader(clean_cluster: Cluster, operator: Path) -> Leader:
    made = Leader(clean_cluster, operator)
    made.lead(1)
    return made


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models 1.onnx to 5.onnx, which multiply by 1 to 5."""
    folder = tmp_path_factory.mktemp("models")
    for factor in range(1, 6):
        write_model(folder / f"{factor}.onnx", factor)
    return folder


@pytest.fixture(scope="session")
def unsupported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A well-formed model with an operator that treadle does not execute."""
    path = tmp_path_factory.mktemp("unsupported") / "model.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])
    result = helper.make_tensor_value_info("y", TensorProto.INT64, ["N", 2])
    graph = helper.make_graph([helper.make_node("NonZero", ["x"], ["y"])], "strange", [value], [result], [])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all agents keep what is compiled: the second one finds the first one's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def agent(
    accounts: Cluster, leader: Leader, program: Callable[..., Program], port: Callable[[], int], address: str,
    cache: Path,
) -> Iterator[Callable[..., Agent]]:  # fmt: skip
    """Starts agents: ``agent(name, device, …, server=…, options=…, debug=…)``, which must end without a traceback."""
    made: list[Agent] = []

    def start(
        name: str, *devices: str, server: str | None = None, options: Sequence[str] = (), debug: bool = False
    ) -> Agent:
        place = f"{address}:{port()}"
        flags = [flag for device in devices or ("host",) for flag in ("--device", device)]
        main = ("-c", DEBUG) if debug else ("-m", "treadle_agent")
        command = [
            sys.executable, *main, "--node-name", name, "--port", place.rpartition(":")[2],
            "--address", place, *flags, *options,
        ]  # fmt: skip
        kubeconfig = accounts.kubeconfig_for("treadle-agent", server=server)
        started = program(name, *command, kubeconfig=kubeconfig, XDG_CACHE_HOME=str(cache))
        made.append(Agent(accounts, name, place, started, kubeconfig))
        return made[-1]

    yield start
    for one in made:
        if one.program.alive:
            one.program.kill()
        assert "Traceback" not in one.program.output, one.program.tail(100)


@pytest.fixture
def replica(clean_cluster: Cluster, operator: Path, namespace: str, models: Path) -> Callable[..., Replica]:
    """Makes replicas: ``replica(tenant, node, *model files, device=…, **spec)``, not created yet."""

    def make(
        tenant: str, node: str, *files: str, device: str = "host", deadline: str = "20s", epoch: int = 1, **spec: Any
    ) -> Replica:
        tiers = [
            {"name": f"tier-{index}", "accuracy": str(90 - 10 * index), "model": {"uri": str(models / file)}}
            for index, file in enumerate(files or ("2.onnx",))
        ]
        name = f"{tenant}-{node}-{device}".lower().replace(":", "-")
        manifest = {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceReplica",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "tenantName": tenant, "tenantGeneration": 1, "nodeName": node, "device": device, "epoch": epoch,
                "template": {"slo": {"deadline": deadline}, "tiers": tiers}, **spec,
            },
        }  # fmt: skip
        return Replica(clean_cluster, operator, namespace, name, manifest)

    return make


@pytest.fixture
def model() -> Callable[[Path, float], Path]:
    """Writes a model file that multiplies by a factor."""
    return write_model


@pytest.fixture(name="infer")
def infer_fixture() -> Callable[..., float]:
    return infer


@pytest.fixture(name="infer_by")
def infer_by_fixture() -> Callable[..., float]:
    return infer_by
