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
from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.host import Launched
from treadle_agent.executor.protocol import (
    FLIGHT_RECORD_BYTES,
    Bind,
    Done,
    Load,
    Mode,
    Outcome,
    Submit,
    TierSpec,
    Unload,
    Unloaded,
    Version,
)
from treadle_agent.executor.versions import LoadedVersion
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

    def submit(self, tenant: int, x: np.ndarray) -> Submit:
        """A request, whose input lies in its block."""
        (start,), _ = BINDING.offsets(1)
        now, block = time.monotonic(), FLIGHT_RECORD_BYTES + tenant * BLOCK
        self.shared[block + start : block + start + X.nbytes] = x.reshape(-1).view(np.uint8)
        return Submit(tenant, tenant, 0, 1, block, now, now + 60.0)

    def ask(self, inputs: Mapping[int, np.ndarray]) -> list[Done]:
        """Answers to a request of each of these tenants, asked at once."""
        self.channel.posted.clear()
        self.channel.arrived += [self.submit(tenant, x) for tenant, x in inputs.items()]
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


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the dispatch thread does with the device and the channel, in order."""
    told: list[str] = []

    def watched(owner: type, name: str, what: str) -> None:
        done = getattr(owner, name)

        def call(self: Any, *arguments: Any) -> Any:
            told.append(what)
            return done(self, *arguments)

        monkeypatch.setattr(owner, name, call)

    def run(self: GpuDevice, *arguments: Any) -> Callable[[], Launched]:
        told.append("launched")
        wait = launch(self, *arguments)
        return lambda: told.append("done") or wait()

    launch = GpuDevice.run
    monkeypatch.setattr(GpuDevice, "run", run)
    for name, what in (("collect", "copies"), ("_arrived", "arrived")):
        watched(GpuDevice, name, what)
    for name, what in (("flush", "sent"), ("wait", "waits")):
        watched(Channel, name, what)
    return told


def test_the_next_launch_is_on_its_way_before_outputs_are_waited_for_and_answers_do_not_wait_for_it(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    server = Server(tmp_path, Mode.SPACE_TIME, [Precision.FLOAT32, Precision.FLOAT16])  # they share no launch
    server.worker.turn()
    told.clear()
    server.ask({tenant: np.ones((4, 3), np.float32) for tenant in range(2)})
    order = [each for each in told if each != "sent"]
    launched = ["launched", "done", "copies", "launched", "arrived", "done", "copies", "arrived", "waits"]
    assert order[order.index("launched") :] == launched
    arrived = told.index("arrived")
    assert told[arrived : arrived + 3] == ["arrived", "sent", "done"], "an answer is not kept while the next one runs"


def test_an_answer_is_sent_before_anything_is_waited_for_where_nothing_else_is_to_be_launched(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    server = Server(tmp_path, Mode.SPACE_TIME, [Precision.FLOAT32])
    for _ in range(3):
        server.worker.turn()
        told.clear()
        server.ask({0: np.ones((4, 3), np.float32)})
        order = [each for each in told if each != "sent"]
        assert order[order.index("launched") :] == ["launched", "done", "copies", "arrived", "waits"]


def test_a_version_is_not_unloaded_before_its_last_outputs_have_arrived(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    server = Server(tmp_path, Mode.SPACE_TIME, [Precision.FLOAT32, Precision.FLOAT16])
    server.worker.turn()
    server.channel.posted.clear()
    unload, answered = server.worker.loading.unload, []

    def unloading(version: LoadedVersion) -> None:
        answered.extend(server.channel.posted)
        unload(version)

    monkeypatch.setattr(server.worker.loading, "unload", unloading)
    server.channel.arrived += [server.submit(0, np.ones((4, 3), np.float32)), Unload(0)]
    server.until(lambda: any(isinstance(one, Unloaded) for one in server.channel.posted))
    assert [(one.request, one.outcome) for one in answered] == [(0, Outcome.DONE)]
