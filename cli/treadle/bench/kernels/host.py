"""Table 1 on this machine's processor: the executor's own kernel, merged, one by one, and on a thread a core."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

import treadle_agent.program.ops.matmul  # noqa: F401 - fills the table of kernels
from treadle.bench.kernels.compare import Timing, rows
from treadle.bench.kernels.problems import PROBLEMS, SHOWN, Problem
from treadle.bench.kernels.report import Row
from treadle_agent.program.forkserver import single_threaded
from treadle_agent.program.ops.registry import BIND

R = (2, 5, *SHOWN, 40, 80, 120)  # all R of the paper would take a quarter of an hour
ROUNDS = 5
SMALLEST = 0.005  # seconds of one measurement: shorter work is repeated

Launch = Callable[[], object]


def table(tell: Callable[[str], None]) -> Iterable[Row]:
    """All rows, each problem measured in a process whose linear algebra keeps to one thread, as the executor's does."""
    with single_threaded():
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            for problem in PROBLEMS:
                tell(problem.name)
                yield from rows(problem, pool.submit(timings, problem, R).result())


def timings(problem: Problem, counts: Sequence[int]) -> Mapping[int, Timing]:
    """Each number of problems shared each way: medians of rounds, ways in turn."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return {count: _timing(problem, count, threads) for count in counts}


def _timing(problem: Problem, count: int, threads: ThreadPoolExecutor) -> Timing:
    merged, single = _bind(problem, count)

    def by_time() -> None:
        for launch in single:
            launch()

    def by_space() -> None:
        for future in [threads.submit(launch) for launch in single]:
            future.result()

    ways: Sequence[Launch] = (by_time, by_space, merged)
    repeats = [max(1, round(SMALLEST / max(_seconds(way, 1), 1e-7))) for way in ways]
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, times, into in zip(ways, repeats, taken, strict=True):
            into.append(_seconds(way, times))
    return Timing(*map(statistics.median, taken))


def _bind(problem: Problem, count: int) -> tuple[Launch, Sequence[Launch]]:
    """One launch of all problems, and one of each."""
    random = np.random.default_rng(count)
    product = problem.product
    left = random.standard_normal((count, product.m, product.k), np.float32)
    right = random.standard_normal((count, product.k, product.n), np.float32)
    result = np.empty((count, product.m, product.n), np.float32)

    def launch(part: slice) -> Launch:
        return BIND["MatMul"]({}, [left[part], right[part]], [result[part]])

    return launch(slice(None)), [launch(slice(one, one + 1)) for one in range(count)]


def _seconds(way: Launch, times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        way()
    return (time.perf_counter() - begin) / times
