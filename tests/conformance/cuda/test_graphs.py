"""Runs of own kernels as graphs on the stand-in: the same answers in fewer launches, recorded where nobody waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from device_bench import PROGRAM, Bench, gpu_bench, host_bench
from strict_cublas import Cublas
from strict_world import World

from treadle_agent.executor.cuda.choice import Choices
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.graphs import Job, Recorder, Replay
from treadle_agent.executor.cuda.lowering import runs
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.tuner import GpuTuner
from treadle_agent.executor.tuner import Profile

LENGTH = len(runs(PROGRAM))
SHARES = tuple(index / LENGTH for index in range(LENGTH + 1))


def at_once(job: Job) -> None:
    job()


def replaying(
    gpu: Gpu, folder: Path, later: Callable[[Job], None] = at_once, library: frozenset[int] = frozenset()
) -> Bench:
    bench = gpu_bench(gpu, folder)
    assert isinstance(bench.body, GpuProgram)
    bench.body = GpuProgram(gpu, PROGRAM, bench.slab, 8, Choices(library), replay=Replay(SHARES, later))
    return bench


def test_a_whole_run_is_one_launch_with_the_same_bits(gpu: Gpu, world: World, tmp_path: Path) -> None:
    wanted = gpu_bench(gpu, tmp_path).run([0, 2, 5])
    bench = replaying(gpu, tmp_path)
    world.kernels = 0
    for _ in range(2):
        got = bench.run([0, 2, 5])
        assert {tenant: one.tobytes() for tenant, one in got.items()} == {
            tenant: one.tobytes() for tenant, one in wanted.items()
        }
    assert (world.kernels, world.graphs) == (0, [LENGTH, LENGTH])


def test_what_the_quantum_cuts_goes_kernel_by_kernel_with_the_same_bits(gpu: Gpu, world: World, tmp_path: Path) -> None:
    bench = replaying(gpu, tmp_path)
    whole = bench.run([1, 2])
    world.kernels, world.graphs = 0, []
    for cut in range(1, LENGTH):
        assert bench.run([1, 2], cut=cut)[2].tobytes() == whole[2].tobytes()
    assert (world.kernels, world.graphs) == ((LENGTH - 1) * LENGTH, [])


def test_a_graph_serves_whoever_is_merged(gpu: Gpu, world: World, tmp_path: Path) -> None:
    bench, oracle = replaying(gpu, tmp_path), host_bench(tmp_path)
    world.kernels = 0
    for tenants in ([0, 1, 2], [3, 4, 5], [0, 2, 5]):
        got, wanted = bench.run(tenants), oracle.run(tenants)
        for tenant in tenants:
            np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=1e-5, atol=1e-6)
    assert (world.kernels, world.graphs) == (0, [LENGTH] * 3)


def test_cublas_stays_outside(gpu: Gpu, world: World, cupy_and_cublas: tuple[object, Cublas], tmp_path: Path) -> None:
    products = gpu_bench(gpu, tmp_path).body.library_products()
    wanted = gpu_bench(gpu, tmp_path, products).run([0, 1])
    bench = replaying(gpu, tmp_path, library=products)
    world.kernels, world.graphs, cupy_and_cublas[1].computed = 0, [], []
    assert bench.run([0, 1])[1].tobytes() == wanted[1].tobytes()
    (product,) = products
    assert product == LENGTH - 2
    assert (world.kernels, world.graphs) == (1, [LENGTH - 2]), "behind it lies one kernel"
    assert cupy_and_cublas[1].computed == ["float32"]


def test_a_runs_time_is_all_told(gpu: Gpu, tmp_path: Path) -> None:
    bench = replaying(gpu, tmp_path)
    group = bench.group([0, 1])
    bench.device.stage(group)
    launched = bench.device.run(group, 0, LENGTH)
    seconds = [each for _, each, _ in launched]
    assert len(seconds) == LENGTH
    assert seconds == pytest.approx([sum(seconds) / LENGTH] * LENGTH)
    bench.device.free(group)


def test_nothing_is_recorded_on_the_way_to_a_deadline(
    gpu: Gpu, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    record = Gpu.record

    def watched(self: Gpu, launches: object) -> object:
        threads.append(threading.get_ident())
        return record(self, launches)

    monkeypatch.setattr(Gpu, "record", watched)
    recorder = Recorder()
    free = threading.Event()
    recorder.put(lambda: free.wait(30.0) or None)  # it is busy
    bench = replaying(gpu, tmp_path, recorder.put)
    first = bench.run([0, 1])
    assert threads == world.graphs == [], "a launch does not wait for it"
    free.set()
    recorded = threading.Event()
    recorder.put(recorded.set)
    assert recorded.wait(30.0)
    assert bench.run([0, 1])[1].tobytes() == first[1].tobytes()
    assert world.graphs == [LENGTH]
    assert threads
    assert threading.get_ident() not in threads


def test_launches_go_on_beside_recording(gpu: Gpu, world: World, tmp_path: Path) -> None:
    recorder = Recorder()
    bench = replaying(gpu, tmp_path, recorder.put)
    wanted = {count: host_bench(tmp_path).run(list(range(count))) for count in range(1, 6)}
    end = time.monotonic() + 30.0
    while len(set(world.graphs)) == 0 or len(world.graphs) < 10:
        assert time.monotonic() < end
        for count in range(1, 6):
            got = bench.run(list(range(count)))
            for tenant, answer in wanted[count].items():
                np.testing.assert_allclose(got[tenant], answer, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_recorded_is_told_and_runs_all_the_same(
    gpu: Gpu, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("no room for a graph")

    monkeypatch.setattr(Gpu, "record", refuse)
    recorder, done = Recorder(), threading.Event()
    bench = replaying(gpu, tmp_path, recorder.put)
    first = bench.run([0, 1])
    recorder.put(done.set)
    assert done.wait(30.0)
    assert bench.run([0, 1])[0].tobytes() == first[0].tobytes()
    assert world.graphs == []
    assert capfd.readouterr().err == "a run of kernels is not recorded: no room for a graph\n"


def test_graphs_have_the_priority_of_launches(gpu: Gpu, world: World, tmp_path: Path) -> None:
    jobs: list[Job] = []
    bench = replaying(gpu, tmp_path, jobs.append)
    bench.run([0])
    for job in jobs:
        job()
    group = bench.group([0])
    bench.device.stage(group)
    assert [graph.priority for _, graph in group.place.bound.graphs.values()] == [-1]
    bench.device.free(group)


def test_measuring_tells_kernels_apart_and_what_serves_replays(gpu: Gpu, world: World, tmp_path: Path) -> None:
    tuner = GpuTuner(gpu)
    slab = gpu_bench(gpu, tmp_path).slab
    weights = tmp_path / "1.bin"
    profile = tuner.merged(PROGRAM, slab, weights)
    assert profile is not None
    assert world.graphs == []
    body = tuner.body(PROGRAM, slab, 4, Profile(profile.points, profile.shares))
    with gpu.stream() as stream:
        bound = body.compose([(0, slab.acquire("1", weights))], stream)
        stream.synchronize()
    assert tuple(bound.shares) == profile.shares
    end = time.monotonic() + 30.0
    while not bound.graphs:
        assert time.monotonic() < end
        time.sleep(0.01)
