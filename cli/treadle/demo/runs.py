"""One run: a schedule sent to a server, what came back, and what the server counted meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from treadle.demo.counters import Counters, read_counters
from treadle.load.process import LoadProcess
from treadle.load.records import Batch, Records, concatenate
from treadle.load.schedule import Schedule
from treadle.load.targets import Target

SAMPLE_SECONDS = 0.5
GRACE_SECONDS = 1.0  # many deadlines: what is not answered by then has failed by any measure


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's counters, `seconds` after the run's start."""

    seconds: float
    counters: Counters


@dataclass(frozen=True, slots=True)
class Run:
    """A finished or interrupted run.

    `records` of the requests that were due, whose `tier` is an index into `tiers`; `samples` of the server's counters
    since the run began, empty for a server that counts nothing; `complete`: it was not cut short.
    """

    name: str
    label: str
    seconds: float
    records: Records
    tiers: tuple[str, ...]
    samples: tuple[Sample, ...]
    complete: bool

    @property
    def counters(self) -> Counters | None:
        """What the server counted from beginning to end."""
        return self.samples[-1].counters if self.samples else None


class Observer(Protocol):
    """Whoever watches a run while it goes on; neither method may take long."""

    def answered(self, batch: Batch) -> None:
        """Told of answers, several times a second."""

    def counted(self, sample: Sample) -> None:
        """Told of the server's counters every SAMPLE_SECONDS."""


class Unwatched:
    """An observer for runs that nobody watches."""

    def answered(self, batch: Batch) -> None:
        """See `Observer`."""

    def counted(self, sample: Sample) -> None:
        """See `Observer`."""


class Recording:
    """A run in the making, from which `run` can be taken at any time."""

    def __init__(self, name: str, label: str, seconds: float) -> None:
        self._name, self._label, self._seconds = name, label, seconds
        self._batches: list[Batch] = []
        self._samples: list[Sample] = []
        self._complete = False

    async def record(
        self, targets: Sequence[Target], schedule: Schedule, url: str, observer: Observer, *, counts: bool
    ) -> None:
        """Send the load; `counts`: the server at `url` has treadle's /metrics. Raises GeneratorError, ClientError."""
        async with (
            LoadProcess(targets, schedule, url, grace=GRACE_SECONDS) as load,
            self._sampled(url, observer, counts=counts),
        ):
            async for batch in load:
                self._batches.append(batch)
                observer.answered(batch)
        self._complete = True

    @asynccontextmanager
    async def _sampled(self, url: str, observer: Observer, *, counts: bool) -> AsyncIterator[None]:
        if not counts:
            yield
            return
        async with aiohttp.ClientSession() as session:
            clock = asyncio.get_running_loop().time
            first, begin = await read_counters(session, url), clock()

            async def sample() -> None:
                counters = (await read_counters(session, url)).since(first)
                self._samples.append(Sample(clock() - begin, counters))
                observer.counted(self._samples[-1])

            async def sample_often() -> None:
                while True:
                    await asyncio.sleep(SAMPLE_SECONDS)
                    await sample()

            sampler = asyncio.create_task(sample_often())
            try:
                yield
            finally:
                sampler.cancel()
            await sample()

    def run(self) -> Run:
        """What there is so far."""
        whole = concatenate(self._batches)
        return Run(
            self._name, self._label, self._seconds, whole.records, whole.tiers, tuple(self._samples), self._complete
        )
