"""One subject, treadle and sessions in turns, in a process whose libraries keep to one thread."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import onnxruntime as ort

from treadle.bench.host.dispatch import Array, Dispatcher
from treadle.bench.host.report import Row
from treadle.bench.host.subjects import Subject
from treadle_agent.executor.super_kernel import ignore_warnings
from treadle_agent.program.loader import Loader

SECONDS = 4.0  # of measuring
FEWEST = 7  # rounds
_COMPILERS = 2


def measure(subject: Subject) -> Row:
    """Load a subject's models both ways and let them answer in turns.

    Raises:
        OSError, ModelError, WheelUnavailableError: a model cannot be had, or not be compiled.
    """
    ignore_warnings()
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder:
        paths = []
        for seed in range(subject.tenants):
            paths.append(Path(folder) / f"{seed}.onnx")
            paths[-1].write_bytes(subject.make(seed))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        sessions = [ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths]
        (given,) = sessions[0].get_inputs()
        loader = Loader(Path(folder) / "cache")
        with ThreadPoolExecutor(_COMPILERS) as threads:
            folders = list(threads.map(loader.compile, paths))
        ours = Dispatcher(loader, folders, {given.name: subject.shape})
        feeds = [{given.name: _input(subject, seed)} for seed in range(subject.tenants)]
        for (view,), feed in zip(ours.inputs, feeds, strict=True):
            view[...] = feed[given.name]
        answers: list[Array] = []

        def theirs() -> None:
            answers[:] = [session.run(None, feed)[0] for session, feed in zip(sessions, feeds, strict=True)]

        fastest = _fastest(ours, theirs)
        largest = max(float(np.abs(one).max()) for one in answers)
        deviation = max(float(np.abs(mine[0] - other).max()) for mine, other in zip(ours.outputs, answers, strict=True))
        return Row(
            subject=subject.name,
            tenants=subject.tenants,
            implementation=ours.implementation,
            sessions_seconds=fastest.sessions,
            kernel_speed=fastest.sessions / fastest.kernels,
            speed=fastest.sessions / fastest.device,
            dispatch_speed=fastest.sessions / fastest.dispatch,
            target=subject.target,
            deviation=deviation / largest,
        )


def _input(subject: Subject, seed: int) -> Array:
    random = np.random.default_rng(seed)
    if subject.integers:
        return random.integers(0, subject.integers, subject.shape).astype(np.int32)
    return random.standard_normal(subject.shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of one round: of treadle's kernels, with copies, with queues and scheduling; and of the sessions."""

    kernels: float
    device: float
    dispatch: float
    sessions: float


def _fastest(ours: Dispatcher, theirs: Callable[[], None]) -> Round:
    """The least of each over rounds in turn, after one that is not counted.

    The least: what the machine does when nothing else disturbs it, as the tuner measures.
    """
    ours.answer()
    theirs()
    rounds: list[Round] = []
    begin = time.perf_counter()
    while len(rounds) < FEWEST or time.perf_counter() - begin < SECONDS:
        started = time.perf_counter()
        ours.answer()
        between = time.perf_counter()
        theirs()
        ended = time.perf_counter()
        rounds.append(Round(ours.kernel_seconds, ours.device_seconds, between - started, ended - between))
    return Round(*(min(getattr(one, field.name) for one in rounds) for field in fields(Round)))
