"""The executor's dispatch and loading threads over the stand-in for a GPU: models are loaded, requests answered."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.cuda import opening
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.protocol import (
    FLIGHT_RECORD_BYTES,
    Bind,
    Done,
    Load,
    Mode,
    Outcome,
    Submit,
    TierSpec,
    Version,
)
from treadle_agent.executor.worker import Worker
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec, WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight
from treadle_api.tenant import Precision

MATRIX = TensorType("float32", (3, 5))
X, Y = TensorType("float32", (4, 3)), TensorType("float32", (4, 5))
BLOCK = 1024
PRECISIONS = (*Precision, *Precision)  # of tenants of one architecture, side by side
ROUNDING = {Precision.FLOAT32: 1e-6, Precision.TF32: 2.0**-8, Precision.FLOAT16: 1e-6}
TENANTS = len(PRECISIONS)
BINDING = Binding([X], [Y], batchable=False)


class Channel:
    def __init__(self) -> None:
        self.arrived: list[Any] = []
        self.posted: list[Any] = []

    def receive(self) -> list[Any]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def post(self, message: Any) -> None:
        self.posted.append(message)

    def flush(self) -> None: ...

    def wait(self, _: float | None) -> None:
        time.sleep(0.001)

    def wake(self) -> None: ...


def artifact(folder: Path, tenant: int) -> Path:
    home = folder / str(tenant)
    home.mkdir()
    kernels = (
        Kernel("MatMul", (), (Activation(0), Weight(0)), (1,)),
        Kernel("Tanh", (), (Activation(1),), (2,)),
    )
    program = Program((Port("x", 0),), (Port("y", 2),), (X, Y, Y), (0, 64, 192), 320, (MATRIX,), (), kernels)
    ports = tuple((TensorSpec(name, "float32", (4, width)),) for name, width in (("x", 3), ("y", 5)))
    made = Artifact(
        ARTIFACT_VERSION,
        str(tenant),
        program.architecture,
        *ports,
        False,
        (WeightEntry(MATRIX, 0),),
        64,
        (),
        "",
        {},
        {},
    )
    (home / "artifact.json").write_bytes(msgspec.json.encode(made))
    (home / "weights.bin").write_bytes(weights(tenant).tobytes() + b"\0\0\0\0")
    (home / "program-x=4x3.json").write_bytes(msgspec.json.encode(program))
    return home


def weights(tenant: int) -> np.ndarray:
    return np.random.default_rng(tenant).standard_normal((3, 5)).astype(np.float32)


class Server:
    """A worker with tenants of these precisions loaded and bound; `shared`: where their requests' blocks lie."""

    def __init__(self, folder: Path, mode: Mode, precisions: Sequence[Precision]) -> None:
        self.shared = np.zeros(FLIGHT_RECORD_BYTES + len(precisions) * BLOCK, np.uint8)
        self.channel, memory = Channel(), memoryview(self.shared)
        settings = WorkerSettings(device="cuda", mode=mode, max_problems=4)
        self.worker = Worker(self.channel, memory, FlightRecord(memory), settings)  # type: ignore[arg-type]
        for tenant, precision in enumerate(precisions):
            tier = TierSpec("only", 90.0, str(artifact(folder, tenant)), precision)
            self.channel.arrived.append(Load(Version(tenant, f"tenant-{tenant}", 60.0, 0, 100, (tier,))))
        self.until(lambda: len(self.worker.versions) == len(precisions))
        self.channel.arrived += [Bind(tenant, 0, (X,), (Y,)) for tenant in range(len(precisions))]

    def until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < limit, self.channel.posted
            self.worker.turn()

    def ask(self, inputs: Mapping[int, np.ndarray]) -> list[Done]:
        """Answers to a request of each of these tenants, asked at once."""
        self.channel.posted.clear()
        (start,), _ = BINDING.offsets(1)
        now = time.monotonic()
        for tenant, x in inputs.items():
            block = FLIGHT_RECORD_BYTES + tenant * BLOCK
            self.shared[block + start : block + start + X.nbytes] = x.reshape(-1).view(np.uint8)
            self.channel.arrived.append(Submit(tenant, tenant, 0, 1, block, now, now + 60.0))
        self.until(lambda: sum(isinstance(one, Done) for one in self.channel.posted) == len(inputs))
        return [one for one in self.channel.posted if isinstance(one, Done)]

    def answer(self, tenant: int) -> np.ndarray:
        _, (result,) = BINDING.offsets(1)
        at = FLIGHT_RECORD_BYTES + tenant * BLOCK + result
        return self.shared[at : at + Y.nbytes].view(np.float32).reshape(4, 5)


@pytest.mark.parametrize("mode", [Mode.SPACE_TIME, Mode.SPACE, Mode.TIME])
def test_tenants_are_loaded_and_answered(gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    server = Server(tmp_path, mode, PRECISIONS)
    inputs = np.random.default_rng(9).standard_normal((TENANTS, 4, 3)).astype(np.float32)
    answers = server.ask(dict(enumerate(inputs)))
    assert [one.reason for one in answers if one.outcome != Outcome.DONE] == []
    for tenant in range(TENANTS):
        matrix = weights(tenant)
        if PRECISIONS[tenant] is Precision.FLOAT16:
            matrix = matrix.astype(np.float16).astype(np.float32)
        wanted = np.tanh(inputs[tenant] @ matrix)
        np.testing.assert_allclose(server.answer(tenant), wanted, rtol=1e-5, atol=ROUNDING[PRECISIONS[tenant]])
    document = server.worker.document
    told = msgspec.json.encode(document).decode()
    assert "Tanh[f32 4x5 -> f32 4x5]" in told
    assert "MatMul[f32 4x3, f16 3x5 -> f32 4x5]" in told
    assert set(document.sizes) <= {1, 2}, "nobody shares a launch with another precision"


def test_launches_of_a_steady_trace_were_bound_before(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    server = Server(tmp_path, Mode.SPACE_TIME, [Precision.FLOAT32] * TENANTS)
    random = np.random.default_rng(3)

    def refuse(*_: object) -> None:
        raise AssertionError("compiled on the dispatch path")

    monkeypatch.setattr(Gpu, "compile", refuse)
    document = server.worker.document
    while document.plans.hits + document.plans.misses < 600:
        asking = random.permutation(TENANTS)[: random.integers(1, TENANTS + 1)]
        answers = server.ask({int(one): np.ones((4, 3), np.float32) for one in asking})
        assert [one.reason for one in answers if one.outcome != Outcome.DONE] == []
    assert set(document.sizes) == {1, 2, 3, 4}
    assert document.plans.hits / (document.plans.hits + document.plans.misses) >= 0.99
