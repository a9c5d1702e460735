"""The library over artifacts written by hand and a tuner that says what it is told: no trial, no session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

import treadle_agent.program.ops.arithmetic  # noqa: F401 - fills the table
from treadle_agent.executor.kept_tuner import KeptTuner
from treadle_agent.executor.library import MERGED, SEGMENTS, Library, LoadedTier
from treadle_agent.executor.precision import PrecisionError
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.simulated import GPUS, SimulatedTuner
from treadle_agent.executor.slab import Slab
from treadle_agent.executor.tuner import HostMemory, HostTuner, Profile
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.executor.versions import LoadedVersion
from treadle_agent.program.artifact import ARTIFACT_VERSION, ROW_COUNTS, Artifact, TensorSpec, WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision

SCALE = TensorType("float32", (1,))


def types_of(width: int) -> tuple[TensorType, ...]:
    return (TensorType("float32", (width,)),)


def program(width: int) -> Program:
    (type_,) = types_of(width)
    kernel = Kernel("Mul", (), (Activation(0), Weight(0)), (1,))
    return Program((Port("x", 0),), (Port("y", 1),), (type_, type_), (0, 256), 512, (SCALE,), (), (kernel,))


def tier(folder: Path, name: str) -> LoadedTier:
    """A model ``y = w x`` of any width, compiled for the widths 3 and 4."""
    home = folder / name
    home.mkdir()
    port = (TensorSpec("x", "float32", (-1,)),), (TensorSpec("y", "float32", (-1,)),)
    artifact = Artifact(ARTIFACT_VERSION, name, "", *port, False, (WeightEntry(SCALE, 0),), 64, (), "", {}, {})
    (home / "artifact.json").write_bytes(msgspec.json.encode(artifact))
    (home / "weights.bin").write_bytes(np.full(16, 2.0, np.float32).tobytes())
    for width in (3, 4):
        (home / f"program-x={width}.json").write_bytes(msgspec.json.encode(program(width)))
    return LoadedTier(name, home)


class Tuner(HostMemory):
    """Merging wins from the second tenant on; `broken`: trials fail. `trials`: how many there were."""

    runs_segments = True
    identity = ("host",)

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.trials = 0
        self.points: tuple[tuple[int, float], ...] = ((1, 2e-4), (8, 2e-4))

    def merged(self, program: Program, slab: Slab, weights: Path) -> Profile | None:  # noqa: ARG002 - a Tuner
        self.trials += 1
        return Profile(self.points, (0.0, 1.0))

    def segments(self, chain: SegmentChain, types: Sequence[TensorType]) -> Profile:  # noqa: ARG002 - a Tuner
        if self.broken:
            raise RuntimeError("the model cannot be run")
        self.trials += 1
        return Profile(((1, 1.5e-4),), (1.0,))


@pytest.fixture
def library() -> Library:
    return Library(Tuner(), max_problems=4)


def apply(library: Library) -> None:
    for change in library.take_changes():
        change()


def test_an_architecture_stays_with_its_slab_while_others_come_and_go(library: Library, tmp_path: Path) -> None:
    one, two, passer_by = (tier(tmp_path, name) for name in ("one", "two", "passer-by"))
    library.prepare(one, types_of(3))  # alone: segments, so that its slab is still empty
    library.forget(passer_by)
    library.prepare(one, types_of(4))
    library.prepare(two, types_of(3))  # now both merge
    library.prepare(two, types_of(4))
    apply(library)
    bodies = [one.holders[types_of(width)][0].body for width in (3, 4)]
    assert {getattr(body, "slab", None) for body in bodies} == {one.slab}
    assert library.weight_bytes == 2 * 64


@pytest.mark.parametrize("company", [False, True])
def test_what_failed_once_leaves_nothing_behind(library: Library, tmp_path: Path, company: bool) -> None:
    one = tier(tmp_path, "one")
    if company:
        library.prepare(tier(tmp_path, "two"), types_of(3))
        (one.folder / "weights.bin").write_bytes(b"short")
    library._tuner.broken = not company
    with pytest.raises((RuntimeError, OSError)):
        library.prepare(one, types_of(3))
    assert one.holders == {}
    assert [digest for digest, each in library.architectures.items() if one in each.members or not each.members] == []
    library._tuner.broken = False
    (one.folder / "weights.bin").write_bytes(bytes(64))
    assert library.prepare(one, types_of(3))


def ledger(library: Library) -> object:
    members = {digest: len(each.members) for digest, each in library.architectures.items()}
    return library.weight_bytes, len(library.slabs), members, sum(len(slab) for slab in library.slabs.values())


def test_a_thousand_loads_and_unloads_leave_the_ledger_as_it_was(library: Library, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stays = tier(tmp_path, name)
        for width in (3, 4):
            library.prepare(stays, types_of(width))
    apply(library)
    before = ledger(library)
    folder = tier(tmp_path, "passer-by").folder
    for _ in range(1000):
        passer_by = LoadedTier("passer-by", folder)
        for width in (3, 4):
            library.prepare(passer_by, types_of(width))
        apply(library)
        assert library.weight_bytes == 3 * 64
        library.forget(passer_by)
        apply(library)
    assert ledger(library) == before


def test_merging_ends_for_good_where_the_weights_of_so_many_outgrow_the_caches(
    library: Library, tmp_path: Path
) -> None:
    library._tuner.points = ((1, 2e-4), (8, 8e-4), (64, 64 * 2e-4))  # 100 us each of 8, 200 of 64; segments take 150
    tiers = [tier(tmp_path, f"{number}") for number in range(64)]
    version = LoadedVersion(Version(1, "first", 1.0, 5, 8, (TierSpec("0", 90.0, ""),)), tiers[:1])
    assert version.implementations == {}, "no shapes are bound"
    ways = []
    for one in tiers:
        library.prepare(one, types_of(3))
        apply(library)
        version.tiers[0].buckets = {0: tiers[0].holders[types_of(3)]}
        assert version.implementations == {"0": library.implementation(tiers[0])}
        now = {library.implementation(other) for other in tiers if other.holders}
        assert {other.holders[types_of(3)][0].mergeable for other in tiers if other.holders} == {now == {MERGED}}
        ways += now
    assert ways.pop(0) == SEGMENTS
    assert ways[7] == MERGED
    assert ways[-1] == SEGMENTS
    back = ways.index(SEGMENTS)
    assert set(ways[back:]) == {SEGMENTS}
    assert all(one.row >= 0 for one in tiers[:back]), "what runs merged still needs its weights"
    for one in tiers[4:]:
        library.forget(one)
    late = LoadedTier("late", tiers[4].folder)
    library.prepare(late, types_of(3))  # now they are so few that merging would win
    assert library.implementation(late) == SEGMENTS
    for one in (*tiers[:4], late):
        library.forget(one)
    assert library.weight_bytes == 0


@pytest.mark.parametrize("differs", ["nothing", "two rows", "weights"])
def test_only_what_computes_the_same_for_every_number_of_rows_shares_an_architecture(
    library: Library, tmp_path: Path, differs: str
) -> None:
    def batchable(name: str, *, other: bool) -> LoadedTier:
        home = tmp_path / name
        home.mkdir()
        ports = (TensorSpec("x", "float32", (-1, 3)),), (TensorSpec("y", "float32", (-1, 3)),)
        size = 128 if other and differs == "weights" else 64
        weights = (WeightEntry(SCALE, 0),)
        artifact = Artifact(ARTIFACT_VERSION, name, "", *ports, True, weights, size, (), "", {}, {})
        (home / "artifact.json").write_bytes(msgspec.json.encode(artifact))
        (home / "weights.bin").write_bytes(bytes(size))
        for rows in ROW_COUNTS:
            operator = "Sub" if other and differs == "two rows" and rows == 2 else "Mul"
            type_ = TensorType("float32", (rows, 3))
            kernel = Kernel(operator, (), (Activation(0), Weight(0)), (1,))
            made = Program((Port("x", 0),), (Port("y", 1),), (type_, type_), (0, 512), 1024, (SCALE,), (), (kernel,))
            (home / f"program-x={rows}x3.json").write_bytes(msgspec.json.encode(made))
        return LoadedTier(name, home)

    types = (TensorType("float32", (1, 3)),)
    one, two = batchable("one", other=False), batchable("two", other=True)
    for each in (one, two):
        library.prepare(each, types)
    apply(library)
    assert len(library.architectures) == (1 if differs == "nothing" else 2)
    assert (one.holders[types][0] is two.holders[types][0]) == (differs == "nothing")


def test_the_second_start_tries_nothing_and_decides_as_the_first_did(tmp_path: Path) -> None:
    folders = [tier(tmp_path, name).folder for name in ("one", "two")]
    trials, costs = [], []
    for _ in range(2):
        tuner = Tuner()
        library = Library(KeptTuner(tuner, TuningCache(tmp_path / "tuning", tuner.identity)), max_problems=4)
        tiers = [LoadedTier(folder.name, folder) for folder in folders]
        for one in tiers:
            for width in (3, 4):
                library.prepare(one, types_of(width))
        apply(library)
        assert [library.implementation(one) for one in tiers] == [MERGED, MERGED]
        trials.append(tuner.trials)
        costs.append([one.holders[types_of(width)][0].cost.expected(2) for one in tiers for width in (3, 4)])
    assert trials == [4, 0]  # kernels and segments, for two widths
    assert costs[0] == costs[1]


@pytest.mark.parametrize("tuner", [HostTuner(), SimulatedTuner(GPUS["A100"])])
@pytest.mark.parametrize("precision", [Precision.TF32, Precision.FLOAT16])
def test_what_computes_float32_alone_refuses_all_else(tuner: HostMemory, precision: Precision) -> None:
    library = Library(tuner, max_problems=4)
    library.check(Precision.FLOAT32)
    with pytest.raises(PrecisionError, match=r"float32 only: set precision Float32, or .*--device cuda") as caught:
        library.check(precision)
    assert caught.value.cause is LoadedReason.PRECISION_UNSUPPORTED
