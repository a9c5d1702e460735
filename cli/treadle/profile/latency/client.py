"""Requests to one tier in an executor of its own: one by one, in a closed loop, and on a schedule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from treadle.load.schedule import Phase, poisson
from treadle.load.targets import Array
from treadle.profile.models import UnprofiledError
from treadle_agent.executor.gateway import FullError, Gateway, Served
from treadle_agent.executor.protocol import Done, Outcome
from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.model import Shape

DEADLINE = 60.0  # seconds: nothing is shed, and no tail is cut off
CLOSED_LOOP = 64  # requests under way at saturation
UNDER_WAY = 20_000  # in an open loop: a second of the fastest; a queue that grows beyond is no load that a tier bears
_TENSOR_SEED = 0


class Client:
    """Sends requests of `shapes` (one row each, in the order of the inputs) to one served tier."""

    def __init__(self, gateway: Gateway, served: Served, shapes: Sequence[Shape]) -> None:
        self._gateway = gateway
        self._served = served
        self._shapes = tuple(shapes)

    async def alone(self, rows: int) -> float:
        """Seconds that one request of `rows` rows is on the device, nothing else being there."""
        done = await self._ask(self._tensors(rows))
        return done.finished - done.started

    async def saturate(self, seconds: float) -> float:
        """Answers a second with `CLOSED_LOOP` requests of one row under way."""
        tensors = self._tensors(1)
        begin = time.perf_counter()
        end = begin + seconds

        async def client() -> int:
            answered = 0
            while time.perf_counter() < end:
                await self._ask(tensors)
                answered += 1
            return answered

        counts = await asyncio.gather(*(client() for _ in range(CLOSED_LOOP)))
        return sum(counts) / (time.perf_counter() - begin)

    async def load(self, rate: float, seconds: float, seed: int) -> list[float] | None:
        """Seconds that each request of a Poisson load took from when it was due; None where a queue outgrew all bounds.

        There is one request at least.

        Raises:
            UnprofiledError: a request failed.
        """
        tensors = self._tensors(1)
        times = poisson([Phase(seconds, rate)], seed=seed).times.tolist() or [0.0]
        took: list[float] = []
        failed: list[Exception] = []
        start = time.perf_counter()

        async def request(due: float) -> None:
            try:
                await self._ask(tensors)
            except (FullError, UnprofiledError) as error:
                failed.append(error)
            else:
                took.append(time.perf_counter() - start - due)

        async with asyncio.TaskGroup() as group:
            for due in times:
                if (wait := start + due - time.perf_counter()) > 0.0:
                    await asyncio.sleep(wait)
                group.create_task(request(due))
        for error in failed:
            if isinstance(error, UnprofiledError):
                raise error
        return None if failed else took

    async def _ask(self, tensors: Sequence[Array]) -> Done:
        shapes = tuple(tensor.shape for tensor in tensors)
        if not self._gateway.bound(self._served, shapes):
            await self._gateway.bind(self._served, shapes)
        call = self._gateway.open(self._served, shapes)
        try:
            for view, tensor in zip(call.inputs, tensors, strict=True):
                view[...] = tensor
            done = await self._gateway.answer(call, time.monotonic() + DEADLINE)
        finally:
            call.release()
        if done.outcome != Outcome.DONE:
            raise UnprofiledError(f"{self._served.version.tenant}: a request failed: {done.reason}")
        return done

    def _tensors(self, rows: int) -> list[Array]:
        random = np.random.default_rng(_TENSOR_SEED)
        shapes = [(rows, *shape[1:]) if self._served.batchable else shape for shape in self._shapes]
        return [_values(spec, shape, random) for spec, shape in zip(self._served.inputs, shapes, strict=True)]


def _values(spec: TensorSpec, shape: Shape, random: np.random.Generator) -> Array:
    """Numbers between 0 and 1; zeros where whole ones are wanted, since they may be indices."""
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        return random.random(shape).astype(spec.dtype)
    return np.zeros(shape, spec.dtype)
