"""Super-kernels: coalesced answers have the bits of solo answers, whichever tenants share a launch."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle_agent.program.ops.matmul  # noqa: F401 - fills the table
from treadle_agent.executor.slab import PAGE_ROWS, Slab
from treadle_agent.executor.slots import Slots
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.super_kernel import PLANS_A_BANK, MergedProgram, run, signature
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight

TENANTS = 70  # more than a page of slab rows
INPUT, HIDDEN, OUTPUT = 12, 16, 5

PROGRAM = Program(
    inputs=(Port("x", 0),),
    outputs=(Port("y", 3),),
    values=tuple(TensorType("float32", (2, width)) for width in (INPUT, HIDDEN, HIDDEN, OUTPUT)),
    offsets=(0, 128, 256, 384),
    arena_bytes=448,
    weights=(TensorType("float32", (INPUT, HIDDEN)), TensorType("float32", (HIDDEN, OUTPUT))),
    constants=(),
    kernels=(
        Kernel("MatMul", (), (Activation(0), Weight(0)), (1,)),
        Kernel("Tanh", (), (Activation(1),), (2,)),
        Kernel("MatMul", (), (Activation(2), Weight(1)), (3,)),
    ),
)
ENTRIES = (WeightEntry(PROGRAM.weights[0], 0), WeightEntry(PROGRAM.weights[1], 768))
ROW_BYTES = 768 + 320


def weights(tenant: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(tenant)
    return (
        random.standard_normal((INPUT, HIDDEN)).astype(np.float32),
        random.standard_normal((HIDDEN, OUTPUT)).astype(np.float32),
    )


def write_row(folder: Path, tenant: int) -> Path:
    path = folder / f"{tenant}.bin"
    path.write_bytes(b"".join(each.tobytes() for each in weights(tenant)))
    return path


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> MergedProgram:
    folder = tmp_path_factory.mktemp("weights")
    slab = Slab(ENTRIES, ROW_BYTES)
    for tenant in range(TENANTS):
        assert slab.acquire(str(tenant), write_row(folder, tenant)) == tenant
    return MergedProgram(PROGRAM, slab, padding=3.0)


def answer(merged: MergedProgram, tenants: list[int], seed: int) -> dict[int, bytes]:
    """Run one problem of each tenant in one super-kernel; inputs depend on the tenant alone."""
    place = merged.place(tenants)
    for slot, tenant in zip(place.slots, tenants, strict=True):
        random = np.random.default_rng((seed, tenant))
        merged.value(0, slot)[...] = random.standard_normal((1, 2, INPUT)).astype(np.float32)
    seconds = run(merged.compose(place), 0, merged.length, time.perf_counter)
    assert len(seconds) == merged.length
    result = {tenant: merged.value(3, slot).tobytes() for slot, tenant in zip(place.slots, tenants, strict=True)}
    merged.give(place)
    return result


@settings(max_examples=60)
@given(tenants=st.lists(st.integers(0, TENANTS - 1), min_size=1, max_size=TENANTS), seed=st.integers(0, 99))
def test_coalesced_answers_have_the_bits_of_solo_answers(merged: MergedProgram, tenants: list[int], seed: int) -> None:
    together = answer(merged, sorted(tenants), seed)
    for tenant in tenants:
        assert answer(merged, [tenant], seed)[tenant] == together[tenant]


def test_answers_are_right(merged: MergedProgram) -> None:
    together = answer(merged, [3, 4, 9, 66], seed=1)
    for tenant, bits in together.items():
        x = np.random.default_rng((1, tenant)).standard_normal((1, 2, INPUT)).astype(np.float32)[0]
        first, second = weights(tenant)
        expected = np.tanh(x @ first) @ second
        np.testing.assert_allclose(np.frombuffer(bits, np.float32).reshape(2, OUTPUT), expected, rtol=1e-5, atol=1e-6)


def test_a_kernel_of_many_tenants_is_a_few_launches_of_blocks(merged: MergedProgram) -> None:
    def launches(*tenants: int) -> list[int]:
        place = merged.place(tenants)
        merged.give(place)
        return [len(each) for each in merged.compose(place)]

    assert launches(8, 9, 10, 11) == [1, 1, 1]
    assert launches(10, 8, 11) == [1, 1, 1]  # one more is computed, for nobody
    assert launches(3, 20, 35) == [3, 3, 3]
    assert launches(5, 5, 5, 5, 60) == [2, 2, 2]  # four with the same weights


@pytest.mark.parametrize(("tenants", "begun"), [(TENANTS, 500), (4 * PAGE_ROWS, 1500)])
def test_merging_other_tenants_binds_nothing_new(tmp_path: Path, tenants: int, begun: int) -> None:
    slab, plans = Slab(ENTRIES, ROW_BYTES), Lookups()
    row = write_row(tmp_path, 0)
    for tenant in range(tenants):
        slab.acquire(str(tenant), row)
    fresh = MergedProgram(PROGRAM, slab, padding=6.0, plans=plans)
    random, held = np.random.default_rng(5), []
    for turn in range(2 * begun):
        if turn == begun:  # what is bound at first is a matter of the start
            plans.hits = plans.misses = 0
        held.append(fresh.place(random.choice(tenants, int(random.integers(1, 33)), replace=False).tolist()))
        fresh.compose(held[-1])
        if len(held) == 2:  # two groups at once
            fresh.give(held.pop(int(random.integers(2))))
    assert plans.hits / (plans.hits + plans.misses) >= 0.99


def test_launches_are_kept_within_a_limit(merged: MergedProgram) -> None:
    fresh = MergedProgram(PROGRAM, merged.slab)
    for tenant in range(TENANTS):
        for problems in (2, 4, 8, 16, 32):
            fresh.compose(place := fresh.place([tenant] * problems))
            fresh.give(place)
    assert len(fresh._plans) == PLANS_A_BANK


def test_a_signature_tells_operator_types_and_shapes() -> None:
    assert signature(PROGRAM, PROGRAM.kernels[0]) == "MatMul[f32 2x12, f32 12x16 -> f32 2x16]"


def test_rows_are_shared_by_content_and_given_back(tmp_path: Path) -> None:
    slab = Slab(ENTRIES, ROW_BYTES)
    one, other = write_row(tmp_path, 1), write_row(tmp_path, 2)
    assert slab.acquire("one", one) == slab.acquire("one", one) == 0
    assert slab.acquire("other", other) == 1
    assert slab.nbytes == 2 * ROW_BYTES
    slab.release("one")
    assert len(slab) == 2
    slab.release("one")
    assert not slab.view(0, 0, 1).any()  # the memory went back to the system
    assert slab.view(0, 1, 1).any()
    assert slab.acquire("third", one) == 0


def test_a_short_weights_file_is_an_error_and_costs_no_row(tmp_path: Path) -> None:
    slab = Slab(ENTRIES, ROW_BYTES)
    (tmp_path / "short.bin").write_bytes(b"\0" * 100)
    with pytest.raises(OSError, match="bytes of weights are missing"):
        slab.acquire("short", tmp_path / "short.bin")
    assert slab.acquire("whole", write_row(tmp_path, 1)) == 0


@given(st.data())
def test_slots_are_handed_out_once_and_come_back(data: st.DataObject) -> None:
    slots, held = Slots(12), []
    for _ in range(20):
        if held and data.draw(st.booleans()):
            slots.give(held.pop(data.draw(st.integers(0, len(held) - 1))))
        elif len(slots):
            held.append(slots.take(data.draw(st.integers(1, len(slots)))))
        taken = [slot for each in held for slot in each]
        assert len(set(taken)) == len(taken) == 12 - len(slots)


def test_slots_are_neighbours_where_they_can_be() -> None:
    slots = Slots(8)
    first, second = slots.take(2), slots.take(2)
    slots.give(first)
    assert slots.take(3) == [4, 5, 6]
    slots.give(second)
    assert slots.take(4) == [0, 1, 2, 3]
