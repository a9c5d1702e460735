"""What the tuner finds fastest is what it keeps, and what it keeps is what is launched."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_bench import PROGRAM, Bench, gpu_bench, host_bench
from strict_world import World

from treadle_agent.executor.cuda import trial
from treadle_agent.executor.cuda.choice import sensible
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.steps import Convolution, Product
from treadle_agent.executor.cuda.trial import Trial
from treadle_agent.executor.cuda.tuner import GpuTuner
from treadle_agent.executor.tuner import BUDGET, MEASURED, PROBLEMS, Profile

CONV, MATMUL = 0, 4  # kernels (by number): one with two sensible tiles, and one that cuBLAS can compute
_TILE = re.compile(r"#define TILE_M (\d+)\n#define TILE_N (\d+)\n")

Seconds = Callable[[str, int], float]  # of a kernel: by its tile's name, or "library", and the number of problems


@pytest.fixture
def timed_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Seconds], None]:
    """Kernels take as long as is said here."""

    def install(seconds: Seconds) -> None:
        def told(_: Trial, body: GpuProgram, problems: int) -> list[float]:
            return [seconds(implementation(body, index, problems), problems) for index in range(body.length)]

        monkeypatch.setattr(Trial, "_seconds", told)

    return install


def implementation(body: GpuProgram, index: int, problems: int) -> str:
    step = body.lowered[index].step
    if index in body.choices.library:
        return "library"
    tiled = isinstance(step, Product | Convolution)
    return body.choices.tile(index, step.matrices, problems).name if tiled else ""


@pytest.fixture
def launched(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The kernels ahead of models that are launched from now on: name and tile."""
    seen: list[tuple[str, str]] = []
    function = gpu.function

    def watched(source: str, name: str) -> Callable[..., None]:
        kernel, tile = function(source, name), "x".join(_TILE.search(source).groups())

        def launch(*arguments: Any) -> None:
            seen.append((name, tile))
            kernel(*arguments)

        return launch

    monkeypatch.setattr(gpu, "function", watched)
    return seen


def tuned(gpu: Gpu, folder: Path) -> tuple[Bench, Profile]:
    tuner, bench = GpuTuner(gpu), gpu_bench(gpu, folder)
    profile = tuner.merged(PROGRAM, bench.slab, folder / "1.bin")
    assert profile is not None
    gpu._modules.clear()  # as where the profile was kept, and nothing was tried
    bench.body = tuner.body(PROGRAM, bench.slab, 8, profile)
    return bench, profile


@pytest.mark.parametrize(("greedy", "collaborative"), [("8x128", "16x16"), ("16x16", "8x128")])
def test_the_fastest_tile_alone_and_the_fastest_in_company_are_launched(
    gpu: Gpu, tmp_path: Path, timed_by, launched, monkeypatch: pytest.MonkeyPatch, greedy: str, collaborative: str
) -> None:
    assert [tile.name for tile in sensible(*gpu_bench(gpu, tmp_path).body.lowered[CONV].step.matrices[:2])] == [
        "16x16",
        "8x128",
    ]
    timed_by(lambda how, problems: 1e-6 if how == (greedy if problems == 1 else collaborative) else 1e-5)
    bench, profile = tuned(gpu, tmp_path)
    assert (CONV, greedy, collaborative) in profile.tiles
    oracle = host_bench(tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("compiled on the dispatch path")

    monkeypatch.setattr(Gpu, "compile", refuse)
    for tenants, tile in (([2], greedy), ([1, 3], collaborative), ([0, 1, 2, 4, 5], collaborative)):
        launched.clear()
        got, wanted = bench.run(tenants), oracle.run(tenants)
        assert ("convolution", tile) in launched
        for tenant in tenants:
            np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=1e-5, atol=1e-6)


def test_tiles_change_no_bit(gpu: Gpu, tmp_path: Path, timed_by) -> None:
    timed_by(lambda how, problems: 1e-6 if how == ("8x128" if problems == 1 else "16x16") else 1e-5)
    bench, _ = tuned(gpu, tmp_path)
    assert bench.run([3])[3].tobytes() == bench.run([0, 3])[3].tobytes()


@pytest.mark.parametrize(("seconds", "wins"), [(0.9e-6, True), (1.1e-6, False)])
def test_cublas_computes_what_it_computes_faster_in_company_than_the_best_tile(
    gpu: Gpu, tmp_path: Path, timed_by, seconds: float, wins: bool
) -> None:
    timed_by(lambda how, problems: seconds if how == "library" else (1e-6 if problems > 1 else 1e-9))
    bench, profile = tuned(gpu, tmp_path)
    assert profile.library == ((MATMUL,) if wins else ())
    assert bench.body.choices.library == set(profile.library)


def test_more_problems_are_measured_while_memory_and_time_allow(
    gpu: Gpu, tmp_path: Path, timed_by, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(lambda _, problems: 1e-6 * problems)
    _, quick = tuned(gpu, tmp_path)
    assert [problems for problems, _ in quick.points] == list(MEASURED)
    each = quick.points[0][1]
    timed_by(lambda _, problems: BUDGET / 16 * problems * 1e-6 / each)  # 32 problems would take two budgets
    _, slow = tuned(gpu, tmp_path)
    assert [problems for problems, _ in slow.points] == [1, 2, PROBLEMS]
    timed_by(lambda _, problems: 1e-6 * problems)
    body = gpu_bench(gpu, tmp_path).body
    monkeypatch.setattr(trial, "LARGEST_TRIAL", 40 * (body.slab.row_bytes + body.stride))
    _, large = tuned(gpu, tmp_path)
    assert [problems for problems, _ in large.points] == [1, 2, PROBLEMS, 32]


def test_a_trial_compiles_nothing_twice(gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slab, compiled, compile_ = gpu_bench(gpu, tmp_path).slab, [], gpu.compile
    gpu._modules.clear()
    monkeypatch.setattr(gpu, "compile", lambda source: compiled.append(source) or compile_(source))
    GpuTuner(gpu).merged(PROGRAM, slab, tmp_path / "1.bin")
    assert len(compiled) == len(set(compiled)) > 2


def test_no_more_is_measured_than_is_said(gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[float] = []
    monkeypatch.setattr(trial, "fastest", lambda once, budget: budgets.append(budget) or once())
    tuned(gpu, tmp_path)
    tiles = 2 * 2  # two tiles, alone and in company
    assert len(budgets) <= tiles + 1 + len(MEASURED) <= 16
    assert set(budgets) == {BUDGET}


def bytes_held(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is held of the device's memory after each allocation from now on."""
    held, allocate = [gpu.used], gpu.allocate

    def watched(nbytes: int) -> Any:
        memory = allocate(nbytes)
        held.append(gpu.used)
        return memory

    monkeypatch.setattr(gpu, "allocate", watched)
    return held


def test_tiles_are_tried_on_one_arena_beside_the_rules(
    gpu: Gpu, tmp_path: Path, timed_by, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(lambda _, problems: 1e-6 * problems)
    slab = gpu_bench(gpu, tmp_path).slab
    it = Trial(gpu, PROGRAM, slab, tmp_path / "1.bin")
    arena, before = PROBLEMS * it._rule.stride, gpu.used
    held = bytes_held(gpu, monkeypatch)
    assert len(it.choices().tiles) > 1
    assert sum(later > earlier for earlier, later in pairwise(held)) > 2, "several were made"
    assert max(held) - before < 2 * arena


def test_a_full_gpu_refuses_no_model_for_want_of_memory_to_try_it(
    gpu: Gpu, world: World, tmp_path: Path, timed_by, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(lambda _, problems: 1e-6 * problems)
    bench = gpu_bench(gpu, tmp_path)
    tuner, before = GpuTuner(gpu), gpu.used
    with monkeypatch.context() as patched:
        held = bytes_held(gpu, patched)
        whole = tuner.merged(PROGRAM, bench.slab, tmp_path / "1.bin")
    assert whole is not None
    assert not whole.provisional
    assert (whole.most, gpu.used) == (MEASURED[-1], before)

    found, most = [], max(held) - before
    for room in range(most, 0, -most // 20):
        gpu._pool.set_limit(size=before + room)
        try:
            found.append(tuner.merged(PROGRAM, bench.slab, tmp_path / "1.bin"))
        except MemoryError:  # not even for one
            break
        finally:
            assert gpu.used == before, "nothing is held"
    gpu._pool.set_limit(size=gpu.limit)
    assert {(one.provisional, one.most, len(one.tiles)) for one in found} == {
        (False, MEASURED[-1], len(whole.tiles)),
        (True, 1, 0),
    }
    oracle, bench.body = host_bench(tmp_path), tuner.body(PROGRAM, bench.slab, 8, found[-1])
    np.testing.assert_allclose(bench.run([0, 4])[4], oracle.run([4])[4], rtol=1e-5, atol=1e-6)
