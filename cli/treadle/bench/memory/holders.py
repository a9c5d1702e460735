"""Processes that hold models: each is sent paths, and answers with what the model makes of one fixed input."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.bench.models import INPUT
from treadle_agent.executor import worker
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Outcome, TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.program.loader import Loader

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
DEADLINE = 60.0


def example(shape: Shape) -> Array:
    """The one input."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def treadle(channel: Connection[Any, Any], shape: Shape, cache: Path) -> None:
    """One executor on the host device; a path that came before only answers again."""
    asyncio.run(_treadle(channel, example(shape), cache))


async def _treadle(channel: Connection[Any, Any], given: Array, cache: Path) -> None:
    loader = Loader(cache)
    supervisor = await Supervisor.start(worker.main, WorkerSettings(), loader.bind)
    held: dict[str, Served] = {}

    async def answer(path: str) -> Array:
        if path not in held:
            artifact = await asyncio.to_thread(loader.compile, Path(path))
            tiers = (TierSpec("only", 90.0, str(artifact)),)
            held[path] = await supervisor.load(Version(len(held) + 1, Path(path).stem, DEADLINE, 0, 8, tiers))
        call = supervisor.open(held[path], (given.shape,))
        try:
            call.inputs[0][...] = given
            done = await supervisor.answer(call, time.monotonic() + DEADLINE)
            if done.outcome != Outcome.DONE:
                raise RuntimeError(f"{path}: {done.reason}")
            return np.array(call.outputs[0])
        finally:
            call.release()

    try:
        channel.send(None)
        while path := await asyncio.to_thread(channel.recv):
            channel.send(await answer(path))
    finally:
        await supervisor.close()


def from_files(channel: Connection[Any, Any], shape: Shape, _: Path) -> None:
    """A session a model, opened by its path."""
    _sessions(channel, shape, lambda path: path)


def from_bytes(channel: Connection[Any, Any], shape: Shape, _: Path) -> None:
    """A session a model, opened from what was read, as where models come over a network."""
    _sessions(channel, shape, lambda path: Path(path).read_bytes())


def _sessions(channel: Connection[Any, Any], shape: Shape, source: Callable[[str], str | bytes]) -> None:
    import onnxruntime as ort

    given = {INPUT: example(shape)}
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    held: dict[str, ort.InferenceSession] = {}
    channel.send(None)
    while path := channel.recv():
        if path not in held:
            held[path] = ort.InferenceSession(source(path), options, providers=["CPUExecutionProvider"])
        channel.send(held[path].run(None, given)[0])


Holder = Callable[["Connection[Any, Any]", Shape, Path], None]
