"""Models are loaded onto the stand-in for a GPU by the library that loads them on the host."""

import hashlib
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from strict_world import World

from treadle_agent.executor.cuda.gpu import PATIENT, URGENT, Gpu
from treadle_agent.executor.cuda.lowering import UnsupportedOnGpuError
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.tuner import GpuTuner
from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.kept_tuner import KeptTuner
from treadle_agent.executor.library import MERGED, Library, LoadedTier
from treadle_agent.executor.loading import LoadingThread
from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES, Loaded, TierSpec, Version
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec, WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight

MATRIX = TensorType("float32", (3, 5))
TYPES = (TensorType("float32", (4, 3)),)


def tier(folder: Path, name: str, op: str = "MatMul") -> LoadedTier:
    home = folder / name
    home.mkdir()
    out = TensorType("float32", (4, 5))
    kernels = (
        Kernel(op, (), (Activation(0), Weight(0)), (1,)),
        Kernel("Relu", (), (Activation(1),), (2,)),
        Kernel("Tanh", (), (Activation(2),), (3,)),
    )
    values, offsets = (*TYPES, out, out, out), (0, 64, 192, 320)
    program = Program((Port("x", 0),), (Port("y", 3),), values, offsets, 448, (MATRIX,), (), kernels)
    port = (TensorSpec("x", "float32", (4, 3)),), (TensorSpec("y", "float32", (4, 5)),)
    parts = program.architecture, *port, False, (WeightEntry(MATRIX, 0),), 64
    artifact = Artifact(ARTIFACT_VERSION, name, *parts, (), "", {}, {})
    (home / "artifact.json").write_bytes(msgspec.json.encode(artifact))
    (home / "weights.bin").write_bytes(np.arange(16, dtype=np.float32).tobytes())
    (home / "program-x=4x3.json").write_bytes(msgspec.json.encode(program))
    return LoadedTier(name, home)


def test_tenants_of_an_architecture_share_program_and_slab_and_give_all_back(gpu: Gpu, tmp_path: Path) -> None:
    before = gpu.used
    library = Library(GpuTuner(gpu), max_problems=2)
    one, two = tier(tmp_path, "one"), tier(tmp_path, "two")
    (executable,) = library.prepare(one, TYPES)
    (other,) = library.prepare(two, TYPES)
    assert executable is other
    assert isinstance(executable.body, GpuProgram)
    assert executable.length == executable.body.length == 2, "a product, and a fused run"
    assert executable.cost.expected(1) > 0.0
    assert [library.implementation(each) for each in (one, two)] == [MERGED, MERGED]
    assert library.weight_bytes == 128
    for each in (one, two):
        library.forget(each)
    del library, executable, other, one, two, each
    assert gpu.used == before


def test_a_thousand_loads_and_unloads_leave_the_ledger_as_it_was(gpu: Gpu, tmp_path: Path) -> None:
    def ledger() -> object:
        members = [len(one.members) for one in library.architectures.values()]
        return gpu.used, library.weight_bytes, members, [len(slab) for slab in library.slabs.values()]

    tuner = GpuTuner(gpu)
    library = Library(KeptTuner(tuner, TuningCache(tmp_path / "tuning", tuner.identity)), max_problems=2)
    nothing = ledger()
    stays, passer_by = tier(tmp_path, "one"), tier(tmp_path, "two").folder
    library.prepare(stays, TYPES)
    one = ledger()
    for turn in range(1000):
        other = LoadedTier("other", passer_by)
        library.prepare(other, TYPES)
        assert library.weight_bytes == 2 * 64
        library.forget(other)
        library.take_changes()
        assert ledger() == one
        if turn % 10 == 0:  # and all leave: the program with its memory, too
            library.forget(stays)
            del other
            stays = LoadedTier("one", stays.folder)
            assert ledger() == nothing
            library.prepare(stays, TYPES)
            assert ledger() == one


def test_what_was_measured_on_a_gpu_is_kept_with_the_choice_of_library(gpu: Gpu, tmp_path: Path) -> None:
    def start() -> tuple[TuningCache, GpuProgram, float]:
        tuner = GpuTuner(gpu)
        cache = TuningCache(tmp_path / "tuning", tuner.identity)
        library = Library(KeptTuner(tuner, cache), max_problems=2)
        (executable,) = library.prepare(LoadedTier("only", folder), TYPES)
        assert isinstance(executable.body, GpuProgram)
        return cache, executable.body, executable.cost.expected(2)

    folder = tier(tmp_path, "one").folder
    first, body, cost = start()
    again, same_body, same_cost = start()
    assert (first.lookups, again.lookups) == (Lookups(0, 1), Lookups(1, 0))
    assert body.choices.library == same_body.choices.library
    assert cost == same_cost
    for path in (tmp_path / "tuning").iterdir():
        _keep(path, library=(0,) if not body.choices.library else ())
    _, other_body, _ = start()
    assert len(other_body.choices.library) == 1 - len(body.choices.library), "what the file says is what runs"


def _keep(path: Path, library: tuple[int, ...]) -> None:
    """Write a kept measurement anew with another choice."""
    entry = msgspec.json.decode(path.read_bytes().partition(b"\n")[2])
    body = msgspec.json.encode(entry | {"profile": entry["profile"] | {"library": library}})
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


@pytest.mark.parametrize("tuning", ["cold", "warm"])
def test_loading_gives_way_to_launches_whatever_it_does_first(
    gpu: Gpu, world: World, tmp_path: Path, tuning: str
) -> None:
    def load() -> list[int]:
        """The priorities of the streams that loading a model opens."""
        tuner, before, done = GpuTuner(gpu), len(world.streams), threading.Event()
        library = Library(KeptTuner(tuner, TuningCache(tmp_path / "tuning", tuner.identity)), max_problems=2)
        record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
        loading = LoadingThread(library, record, done.set)
        loading.load(Version(0, "tenant", 60.0, 0, 1, (TierSpec("only", 90.0, str(folder)),)), lambda _: None)
        assert done.wait(60.0)
        assert [type(one) for one in loading.collect()] == [Loaded]
        return [stream.priority for one in world.streams[before:] if (stream := one()) is not None]

    folder = tier(tmp_path, "one").folder
    if tuning == "warm":
        load()
    assert load() == [PATIENT]
    with gpu.stream() as own:
        assert own.priority == URGENT < PATIENT


def test_a_model_that_cannot_run_is_refused_by_name_and_holds_nothing(gpu: Gpu, tmp_path: Path) -> None:
    before = gpu.used
    library = Library(GpuTuner(gpu), max_problems=2)
    refused = tier(tmp_path, "refused", op="GRU")
    with pytest.raises(UnsupportedOnGpuError, match=r"GRU \(no kernel\): serve with --device host"):
        library.prepare(refused, TYPES)
    library.forget(refused)
    assert gpu.used == before
