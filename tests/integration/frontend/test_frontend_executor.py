"""The front end in front of a real executor process: models made here, compiled, loaded, and called by tritonclient."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import uvloop
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from treadle_agent.cache import open_cache
from treadle_agent.executor import worker
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.site import Site
from treadle_agent.models.store import ModelStore
from treadle_agent.node_agent import NodeAgent
from treadle_agent.program.loader import Loader
from treadle_api.tenant import read_tenant

SIZES = (6, 16, 3)
TENANTS = ("north", "south", "east")


def weights_of(seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        array
        for inputs, outputs in pairwise(SIZES)
        for array in (
            random.standard_normal((inputs, outputs), dtype=np.float32),
            random.standard_normal(outputs, dtype=np.float32),
        )
    ]


def expected(seed: int, x: np.ndarray) -> np.ndarray:
    w1, b1, w2, b2 = weights_of(seed)
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


def save(path: Path, nodes: list[onnx.NodeProto], shapes: tuple[list[Any], list[Any]], arrays: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "made-here",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def mlp(path: Path, seed: int) -> Path:
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    arrays = dict(zip(("w1", "b1", "w2", "b2"), weights_of(seed), strict=True))
    return save(path, nodes, (["n", SIZES[0]], ["n", SIZES[-1]]), arrays)


def softmax_of_any_width(path: Path) -> Path:
    return save(path, [helper.make_node("Softmax", ["x"], ["y"], axis=-1)], (["n", "width"], ["n", "width"]), {})


def manifest(name: str, models: list[Path]) -> dict[str, Any]:
    tiers = [
        {"name": f"tier-{index}", "accuracy": str(90 - index), "model": {"uri": str(model)}}
        for index, model in enumerate(models)
    ]
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"slo": {"deadline": "10s", "objective": "99", "minAccuracy": "50"}, "tiers": tiers},
    }


class Node:
    """Node agent, executor and front end on an event loop of their own thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self.run(self._start())

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _start(self) -> int:
        self._open = AsyncExitStack()
        cache = await self._open.enter_async_context(open_cache(self.folder))
        loader = Loader(cache.artifacts)
        self.gateway = await Supervisor.start(worker.main, WorkerSettings(), loader.bind)
        site = Site("host", self.gateway)
        self.front_end = FrontEnd([site])
        store = ModelStore(cache.models)
        self.agent = NodeAgent(self.gateway, store, loader, cache, site.catalog, lambda _: None)
        tenants = [manifest(name, [mlp(self.folder / f"{name}.onnx", seed)]) for seed, name in enumerate(TENANTS)]
        tenants.append(manifest("tiered", [mlp(self.folder / f"tiered-{seed}.onnx", seed) for seed in range(3)]))
        tenants.append(manifest("softmax", [softmax_of_any_width(self.folder / "softmax.onnx")]))
        assert await self.agent.apply([read_tenant(one) for one in tenants]) == []
        return await self.front_end.start("127.0.0.1", 0)

    def run(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(120)

    def close(self) -> None:
        async def stop() -> None:
            await self.front_end.stop()
            await self.agent.close()
            await self.gateway.close()
            await self._open.aclose()

        self.run(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


def tensor(values: np.ndarray, *, binary: bool) -> Any:
    made = triton.InferInput("x", list(values.shape), "FP32")
    made.set_data_from_numpy(values, binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 32])
def test_tenants_of_one_architecture_answer_with_their_own_weights(node, binary, rows):
    x = np.random.default_rng(rows).standard_normal((rows, SIZES[0]), dtype=np.float32)
    with triton.InferenceServerClient(node.url) as client:
        assert client.is_server_ready()
        for seed, name in enumerate(TENANTS):
            assert client.is_model_ready(name)
            assert client.get_model_metadata(name)["inputs"] == [
                {"name": "x", "datatype": "FP32", "shape": [-1, SIZES[0]]}
            ]
            outputs = [triton.InferRequestedOutput("y", binary_data=binary)]
            result = client.infer(name, [tensor(x, binary=binary)], outputs=outputs)
            np.testing.assert_allclose(result.as_numpy("y"), expected(seed, x), rtol=1e-4, atol=1e-5)
            assert result.get_response()["parameters"] == {"tier": "tier-0", "accuracy": 90.0}


@pytest.mark.parametrize(
    ("wishes", "tier"),
    [
        ({}, 0),
        ({"tier": "tier-1"}, 1),
        ({"forbid_tiers": "tier-0"}, 1),
        ({"forbid_tiers": "tier-0, tier-1"}, 2),
        ({"tier": "tier-2", "forbid_tiers": "tier-0"}, 2),
    ],
)
def test_a_client_pins_and_forbids_tiers_for_a_request(node, wishes, tier):
    x = np.random.default_rng(5).standard_normal((2, SIZES[0]), dtype=np.float32)
    with triton.InferenceServerClient(node.url) as client:
        result = client.infer("tiered", [tensor(x, binary=True)], parameters=wishes)
    assert result.get_response()["parameters"] == {"tier": f"tier-{tier}", "accuracy": 90.0 - tier}
    np.testing.assert_allclose(result.as_numpy("y"), expected(tier, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"tier": "huge"}, "parameters.tier: 'huge' is none of the tiers tier-0, tier-1, tier-2"),
        ({"forbid_tiers": "tier-0,huge"}, "parameters.forbid_tiers: 'huge' is none of the tiers"),
        ({"forbid_tiers": "tier-0,tier-1,tier-2"}, "leaves no tier to answer"),
        ({"tier": "tier-1", "forbid_tiers": "tier-1"}, "'tier-1' is forbidden, too"),
    ],
)
def test_wishes_that_cannot_be_met_are_the_client_s_to_change(node, wishes, reason):
    with (
        triton.InferenceServerClient(node.url) as client,
        pytest.raises(InferenceServerException) as caught,
    ):
        client.infer("tiered", [tensor(np.ones((1, SIZES[0]), np.float32), binary=True)], parameters=wishes)
    assert caught.value.status() == "400"
    assert reason in caught.value.message()


def test_many_at_once_get_their_own_answers(node):
    async def run() -> None:
        random = np.random.default_rng(9)
        async with triton_aio.InferenceServerClient(node.url, conn_limit=32) as client:

            async def ask(seed: int, x: np.ndarray, *, binary: bool) -> None:
                result = await client.infer(TENANTS[seed], [tensor(x, binary=binary)])
                np.testing.assert_allclose(result.as_numpy("y"), expected(seed, x), rtol=1e-4, atol=1e-5)

            xs = [random.standard_normal((1 + i % 4, SIZES[0]), dtype=np.float32) for i in range(300)]
            await asyncio.gather(*(ask(i % 3, x, binary=i % 2 == 0) for i, x in enumerate(xs)))

    asyncio.run(run())


def test_new_widths_are_compiled_when_they_come(node):
    with triton.InferenceServerClient(node.url) as client:
        for width in (3, 7, 3):
            x = np.random.default_rng(width).standard_normal((2, width), dtype=np.float32)
            y = client.infer("softmax", [tensor(x, binary=True)]).as_numpy("y")
            e = np.exp(x - x.max(axis=1, keepdims=True))
            np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-5)


def test_requests_that_cannot_be_met_are_shed(node):
    with triton.InferenceServerClient(node.url) as client:
        x = np.ones((1, SIZES[0]), np.float32)
        with pytest.raises(InferenceServerException) as caught:
            client.infer("north", [tensor(x, binary=True)], timeout=1)
        assert caught.value.status() == "503"
        with pytest.raises(InferenceServerException, match=r"expected \[-1, 6\]"):
            client.infer("north", [tensor(x[:, :5], binary=True)])
        client.infer("north", [tensor(x, binary=True)])


def test_metrics_of_the_executor(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    assert 'treadle_executor_up{device="host"} 1.0' in text
    for line in (
        'treadle_requests_total{outcome="late",tenant="north",tenant_namespace="default",tier="tier-0"}',
        'treadle_device_time_seconds_total{device="host",tenant="north",tenant_namespace="default"}',
        'treadle_queue_depth{device="host",tenant="south",tenant_namespace="default"}',
        'treadle_super_kernel_problems_count{device="host"}',
        'treadle_profile_correction_ratio{device="host",tenant="east",tenant_namespace="default"}',
    ):
        assert line in text


def test_an_executor_that_is_killed_costs_no_request_its_answer(node):
    stop = threading.Event()
    statuses: list[int] = []

    def ask(worker: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        body = json.dumps({"inputs": [{"name": "x", "shape": [1, 6], "datatype": "FP32", "data": [worker] * 6}]})
        want = expected(worker % 3, np.full((1, 6), worker, np.float32))
        while not stop.is_set():
            connection.request("POST", f"/v2/models/{TENANTS[worker % 3]}/infer", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
            statuses.append(response.status)
            assert response.status == 200, answer
            np.testing.assert_allclose(answer["outputs"][0]["data"], want[0], rtol=1e-4, atol=1e-4)
        connection.close()

    def answers_beyond(count: int) -> None:
        for _ in range(6000):
            if len(statuses) > count or stop.wait(0.005):
                return
        raise AssertionError("no more answers come")

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask, worker) for worker in range(6)]
        try:
            for _ in range(2):
                answers_beyond(len(statuses) + 60)
                os.kill(node.gateway._process.pid, signal.SIGKILL)
            answers_beyond(len(statuses) + 60)
        finally:
            stop.set()
        for one in asking:
            one.result(60)
    assert set(statuses) == {200}
    assert node.run(node.gateway.statistics())["supervisor"]["restarts"] >= 2
