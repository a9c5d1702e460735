"""What a device must do, on the host, simulated, and on the stand-in for a GPU: the same groups, the same answers."""

from __future__ import annotations

import re
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from device_bench import (
    BINDING,
    BLOCK,
    PROGRAM,
    ROW_BYTES,
    SHAPES,
    TENANTS,
    Bench,
    gpu_bench,
    host_bench,
    weights_file,
)
from strict_world import RefusedError, World

from treadle_agent.executor.cuda.choice import Choices
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.host import FEWEST_LINED, MergedPlace
from treadle_agent.executor.simulated import GPUS, SimulatedDevice
from treadle_agent.executor.slab import PAGE_ROWS
from treadle_agent.executor.statistics import Lookups
from treadle_agent.program.model import ALIGNMENT


@pytest.fixture(params=["host", "simulated", "cuda"])
def bench(request, tmp_path: Path) -> Bench:
    if request.param == "host":
        return host_bench(tmp_path)
    if request.param == "simulated":
        return host_bench(tmp_path, partial(SimulatedDevice, GPUS["V100"]))
    return gpu_bench(request.getfixturevalue("gpu"), tmp_path)


@pytest.fixture
def oracle(tmp_path: Path) -> Bench:
    return host_bench(tmp_path)


def test_answers_are_the_hosts(bench: Bench, oracle: Bench) -> None:
    tenants = [0, 2, 5]
    got, wanted = bench.run(tenants), oracle.run(tenants)
    for tenant in tenants:
        np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=1e-5, atol=1e-6)


def test_the_bits_do_not_depend_on_who_shares_the_launch(bench: Bench) -> None:
    together = bench.run([0, 1, 3, 4])
    for tenant in (0, 1, 3, 4):
        assert bench.run([tenant])[tenant].tobytes() == together[tenant].tobytes()


def test_a_group_may_stop_between_kernels(bench: Bench) -> None:
    whole = bench.run([1, 2])
    for cut in range(1, bench.body.length):
        assert bench.run([1, 2], cut=cut)[2].tobytes() == whole[2].tobytes()


def test_a_stream_may_be_less_than_full(bench: Bench) -> None:
    assert bench.run([4], rows=1)[4][0].tobytes() == bench.run([4])[4][0].tobytes()


def slots_of(group: SimpleNamespace) -> list[int]:
    return list(group.place.problems.slots if isinstance(group.place, MergedPlace) else group.place.slots)


def test_a_group_that_is_given_up_frees_its_slots(bench: Bench) -> None:
    group, other = bench.group([0, 1]), bench.group([0, 1])
    bench.device.stage(group)
    first = slots_of(group)
    bench.device.run(group, 0, 1)
    bench.device.free(group)
    bench.device.free(group)  # again: nothing to give back
    bench.device.stage(group)
    bench.device.stage(other)
    assert slots_of(group) == first
    assert not set(first) & set(slots_of(other))


@pytest.mark.parametrize("tenants", [[3, 3], [1, 3, 3, 3, 0], [2] * 6])
def test_tenants_may_have_the_same_weights(bench: Bench, tenants: list[int]) -> None:
    alone = {tenant: bench.run([tenant])[tenant].tobytes() for tenant in set(tenants)}
    group = bench.group(tenants)
    for place, stream in enumerate(group.streams):
        stream.name = place
    bench.device.stage(group)
    assert len(set(slots_of(group))) == len(tenants)
    bench.device.run(group, 0, bench.body.length)
    bench.device.collect(group)
    answers = bench.answers(group)
    assert [answers[stream.name].tobytes() for stream in group.streams] == [alone[t] for t in _in_order(group)]


@pytest.mark.parametrize("tenants", [[0, 1, 2, 3, 4, 5], [2, 2, 2, 2], [5, 1, 1, 3], [4, 2]])
def test_requests_that_lie_alike_are_copied_at_once_and_nothing_beside_them(bench: Bench, tenants: list[int]) -> None:
    alone = {tenant: bench.run([tenant], rows=1)[tenant].tobytes() for tenant in set(tenants)}
    group = bench.group(tenants, rows=1)
    for place, stream in enumerate(group.streams):
        stream.name = place
    before = bench.memory.copy()
    bench.device.stage(group)
    if isinstance(group.place, MergedPlace):
        banks = {slot // PAGE_ROWS for slot in slots_of(group)}
        assert (group.place.lined is not None) == (len(tenants) >= FEWEST_LINED and len(banks) == 1)
    bench.device.run(group, 0, bench.body.length)
    bench.device.collect(group)
    answers = bench.answers(group)
    assert [answers[stream.name].tobytes() for stream in group.streams] == [alone[t] for t in _in_order(group)]
    _, (offset,) = BINDING.offsets(1)
    written = {(request.block + offset) // ALIGNMENT for stream in group.streams for request in stream.requests}
    assert set(np.flatnonzero(before != bench.memory) // ALIGNMENT) <= written


def test_requests_of_different_rows_do_not_lie_alike(bench: Bench) -> None:
    alone = {tenant: bench.run([tenant], rows=2)[tenant] for tenant in range(4)}
    group = bench.group([0, 1, 2, 3], rows=1)
    for stream in group.streams[1::2]:
        [request] = stream.requests
        request.rows = stream.rows = 2
        (offset,), _ = BINDING.offsets(2)
        x = [np.random.default_rng((stream.name, row)).standard_normal(SHAPES["x"][1:]) for row in range(2)]
        data = np.stack(x).astype(np.float32).reshape(-1).view(np.uint8)
        bench.memory[request.block + offset : request.block + offset + data.nbytes] = data
    bench.device.stage(group)
    bench.device.run(group, 0, bench.body.length)
    bench.device.collect(group)
    for stream in group.streams:
        _, (offset,) = BINDING.offsets(stream.rows)
        start = stream.requests[0].block + offset
        assert bench.memory[start : start + 40 * stream.rows].tobytes() == alone[stream.name][: stream.rows].tobytes()


def test_large_requests_are_copied_one_by_one(oracle: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle_agent.executor.host.MOST_LINED", 8)  # inputs take 8 lines, outputs one more
    group = oracle.group([0, 1, 2, 3], rows=1)
    oracle.device.stage(group)
    assert group.place.lined is None
    oracle.device.free(group)


def _in_order(group: SimpleNamespace) -> list[int]:
    """Whose weights each stream has; a device may sort the streams."""
    return [stream.tenant.tiers[0].row for stream in group.streams]


def test_two_groups_may_be_on_the_device(bench: Bench) -> None:
    alone = bench.run([0]), bench.run([3])
    two, one = bench.group([3, 3]), bench.group([0])
    two.streams = two.streams[1:]  # its block is the second one; the first is the other group's
    for group in (one, two):
        bench.device.stage(group)
    bench.device.run(one, 0, 2)
    bench.device.run(two, 0, bench.body.length)
    bench.device.run(one, 2, bench.body.length)
    for group in (two, one):
        bench.device.collect(group)
    assert bench.answers(one)[0].tobytes() == alone[0][0].tobytes()
    assert bench.answers(two)[3].tobytes() == alone[1][3].tobytes()


def test_kernels_may_run_on_another_thread_than_their_staging(bench: Bench) -> None:
    wanted = bench.run([2, 3])
    group = bench.group([2, 3])
    bench.device.stage(group)
    failed = []

    def apart() -> None:
        try:
            bench.device.run(group, 0, bench.body.length)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    thread = threading.Thread(target=apart)
    thread.start()
    thread.join()
    assert failed == []
    bench.device.collect(group)
    assert bench.answers(group)[3].tobytes() == wanted[3].tobytes()


def test_rows_are_shared_by_content_and_given_back(bench: Bench, tmp_path: Path) -> None:
    slab = bench.slab
    assert slab.acquire("1", weights_file(tmp_path, 1)) == bench.rows[1]
    for _ in range(2):
        slab.release("1")
    assert len(slab) == TENANTS - 1
    assert slab.acquire("new", weights_file(tmp_path, 1)) == bench.rows[1]
    assert slab.nbytes == TENANTS * ROW_BYTES


def test_short_weights_are_refused_and_hold_no_row(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "short.bin"
    path.write_bytes(b"\0" * (ROW_BYTES - 4))
    with pytest.raises(OSError, match="4 bytes of weights are missing"):
        bench.slab.acquire("short", path)
    assert len(bench.slab) == TENANTS


@pytest.mark.parametrize(("tenants", "call"), [([0, 1, 2], "stride"), ([0, 2, 5], "pointer")])
def test_cublas_by_stride_where_rows_are_neighbours_else_by_pointer(
    gpu: Gpu, cupy_and_cublas, oracle: Bench, tmp_path: Path, tenants: list[int], call: str
) -> None:
    products = gpu_bench(gpu, tmp_path).body.library_products()
    assert len(products) == 1  # the one without a bias
    bench = gpu_bench(gpu, tmp_path, products)
    got, wanted = bench.run(tenants), oracle.run(tenants)
    assert cupy_and_cublas[1].calls[call] == 1
    for tenant in tenants:
        np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library", [False, True])
def test_nothing_is_compiled_on_the_way_to_a_deadline(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: bool
) -> None:
    products = gpu_bench(gpu, tmp_path).body.library_products() if library else frozenset()
    bench = gpu_bench(gpu, tmp_path, products)

    def refuse(*_: object) -> None:
        raise AssertionError("compiled on the dispatch path")

    monkeypatch.setattr(Gpu, "compile", refuse)
    for tenants in ([0], [1, 2], [0, 2, 4], [0, 1, 2, 3, 4, 5], [5, 3, 1, 0]):
        assert len(bench.run(tenants)) == len(tenants)


@pytest.mark.parametrize("library", [False, True])
def test_merging_other_tenants_binds_nothing_new(gpu: Gpu, oracle: Bench, tmp_path: Path, library: bool) -> None:
    plans = Lookups()
    bench = gpu_bench(gpu, tmp_path)
    products = bench.body.library_products() if library else frozenset()
    bench.body = GpuProgram(gpu, PROGRAM, bench.slab, 8, Choices(products), plans)
    alone = {tenant: oracle.run([tenant])[tenant] for tenant in range(TENANTS)}
    for groups in ([0, 1, 2], [3, 4, 5]), ([5, 0, 4], [2, 1, 3]), ([0, 1, 2], [5, 3, 1]):  # two on the device at once
        held = [bench.group(tenants) for tenants in groups]
        for group, blocks in zip(held, (0, 3), strict=True):
            for place, stream in enumerate(group.streams):
                for row, request in enumerate(stream.requests):
                    request.block = (blocks + place) * BLOCK + row * 1024
                    bench._input(stream.name, row, request.block)
            bench.device.stage(group)
        for group in reversed(held):
            bench.device.run(group, 0, bench.body.length)
        for group in held:
            bench.device.collect(group)
            for tenant, answer in bench.answers(group).items():
                np.testing.assert_allclose(answer, alone[tenant], rtol=1e-5, atol=1e-6)
    assert plans == Lookups(hits=4, misses=2), "one for each group of three that is on the device at once"


def test_a_group_whose_inputs_cannot_be_staged_gives_its_tables_back(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Lookups()
    bench = gpu_bench(gpu, tmp_path)
    right = bench.run([1])[1].tobytes()
    bench.body = GpuProgram(gpu, PROGRAM, bench.slab, 8, plans=plans)
    group = bench.group([0])
    with monkeypatch.context() as patched:
        patched.setattr(gpu, "event", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.device.stage(group)
    bench.device.free(group)
    assert bench.run([1])[1].tobytes() == right
    assert plans == Lookups(hits=1, misses=1)


def test_memory_returns_to_where_it_was(gpu: Gpu, world: World, tmp_path: Path) -> None:
    before = gpu.used
    bench = gpu_bench(gpu, tmp_path)
    bench.run([0, 1])
    assert gpu.used > before
    for tenant in range(TENANTS):
        bench.slab.release(str(tenant))
    del bench
    assert gpu.used == before


def test_the_limit_is_hard(gpu: Gpu, world: World) -> None:
    with pytest.raises(MemoryError, match="out of memory"), gpu.stream():
        gpu.allocate(gpu.limit + 1)


@pytest.mark.parametrize("operation", [1, 5, 9])
def test_a_lost_gpu_ends_the_process(gpu: Gpu, world: World, tmp_path: Path, lost, operation: int) -> None:
    bench = gpu_bench(gpu, tmp_path)
    world.fails_at = world.operations + operation
    with pytest.raises(lost, match="illegal memory access"):
        bench.run([0, 1])
    with pytest.raises(lost), gpu.stream() as stream:
        stream.synchronize()


def test_the_stand_in_sees_a_device_that_does_not_wait_for_its_inputs(
    gpu: Gpu, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = gpu_bench(gpu, tmp_path)
    monkeypatch.setattr("strict_world.Stream.wait_event", lambda *_: None)
    group = bench.group([2, 3])
    bench.device.stage(group)
    failed: list[BaseException] = []

    def apart() -> None:
        try:
            bench.device.run(group, 0, bench.body.length)
        except BaseException as error:  # noqa: BLE001 - asserted below
            failed.append(error)

    thread = threading.Thread(target=apart)
    thread.start()
    thread.join()
    if not failed:  # the inputs' copies have not run yet: they are the ones that find out
        with pytest.raises(RefusedError, match="race"):
            bench.device.collect(group)
    else:
        assert re.search("race|misaligned|outside", str(failed[0])), "tables of addresses come by such copies too"
