"""Real models through the loader, the supervisor and a real executor process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from treadle_agent.executor import worker
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Mode, Outcome, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.loader import Loader
from treadle_agent.program.model import Shape


def save(
    path: Path, nodes: list[Any], inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], weights: dict[str, Any]
) -> Path:
    def ports(declared: dict[str, list[Any]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in declared.items()]

    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "model", ports(inputs), ports(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def normal(seed: int, *shape: int) -> np.ndarray:
    random = np.random.default_rng((seed, *shape))
    return (random.standard_normal(shape) / np.sqrt(shape[-2] if len(shape) > 1 else 1)).astype(np.float32)


def mlp(path: Path, seed: int) -> Path:
    """Launch-bound: four layers, far more kernels than arithmetic."""
    nodes, weights, last = [], {}, "x"
    for index, (given, made) in enumerate([(24, 32), (32, 32), (32, 32), (32, 5)]):
        weights |= {f"w{index}": normal(seed, given, made), f"b{index}": normal(seed + 1, made)}
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [f"g{index}"]))
        nodes.append(helper.make_node("Tanh", [f"g{index}"], [last := f"t{index}"]))
    nodes.append(helper.make_node("Softmax", [last], ["y"], axis=-1))
    return save(path, nodes, {"x": ["N", 24]}, {"y": ["N", 5]}, weights)


def conv(path: Path, seed: int) -> Path:
    """Compute-bound: two convolutions over an image."""
    weights = {"k0": normal(seed, 32, 3, 3, 3), "k1": normal(seed + 1, 32, 32, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "k0"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "k1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c1"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    return save(path, nodes, {"x": ["N", 3, 48, 48]}, {"y": ["N", 32]}, weights)


def free_width(path: Path, seed: int) -> Path:
    """A model whose second dimension is free too: shapes are known when a request comes."""
    nodes = [
        helper.make_node("Mul", ["x", "s"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=-1),
    ]
    return save(path, nodes, {"x": ["N", "W"]}, {"y": ["N", "W"]}, {"s": normal(seed, 1)})


@dataclass
class Tenant:
    """A served model and the oracle for it."""

    served: Served
    oracle: onnxruntime.InferenceSession


class Bench:
    """A supervisor over a real executor, and tenants on it."""

    def __init__(self, supervisor: Supervisor, loader: Loader, folder: Path) -> None:
        self.supervisor = supervisor
        self.loader = loader
        self.folder = folder
        self.versions = 0

    async def load(self, build: Any, seed: int, **terms: Any) -> Tenant:
        self.versions += 1
        path = build(self.folder / f"{build.__name__}-{seed}.onnx", seed)
        artifact = await asyncio.to_thread(self.loader.compile, path)
        tier = TierSpec("only", 90.0, str(artifact))
        terms = {"deadline": 5.0, "priority": 0, "queue_limit": 1000, **terms}
        version = Version(id=self.versions, tenant=f"{build.__name__}-{seed}", tiers=(tier,), **terms)
        return Tenant(await self.supervisor.load(version), onnxruntime.InferenceSession(str(path)))

    async def infer(self, tenant: Tenant, x: np.ndarray, seconds: float = 20.0) -> np.ndarray:
        shapes: tuple[Shape, ...] = (x.shape,)
        if not self.supervisor.bound(tenant.served, shapes):
            await self.supervisor.bind(tenant.served, shapes)
        call = self.supervisor.open(tenant.served, shapes)
        call.inputs[0][...] = x
        done = await self.supervisor.answer(call, time.monotonic() + seconds)
        answer = call.outputs[0].copy()
        call.release()
        assert done.outcome == Outcome.DONE, done
        return answer

    async def check(self, tenant: Tenant, seed: int, rows: int = 1, free: int = 7) -> None:
        shape = [dim if isinstance(dim, int) else free for dim in tenant.oracle.get_inputs()[0].shape[1:]]
        x = np.random.default_rng(seed).standard_normal((rows, *shape)).astype(np.float32)
        (expected,) = tenant.oracle.run(None, {"x": x})
        np.testing.assert_allclose(await self.infer(tenant, x), expected, rtol=1e-3, atol=1e-4)

    async def statistics(self) -> Mapping[str, Any]:
        return await self.supervisor.statistics()


@pytest.fixture
def bench(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    loader = Loader(tmp_path_factory.getbasetemp() / "artifacts")

    @asynccontextmanager
    async def opened(mode: Mode, bindings: int = 64, **settings: Any) -> AsyncIterator[Bench]:
        supervisor = await Supervisor.start(
            worker.main, WorkerSettings(mode=mode, **settings), loader.bind, SupervisorSettings(bindings=bindings)
        )
        try:
            yield Bench(supervisor, loader, tmp_path)
        finally:
            await supervisor.close()

    return opened


@pytest.fixture
def models() -> Any:
    """The builders, by name."""
    return SimpleNamespace(mlp=mlp, conv=conv, free_width=free_width)
