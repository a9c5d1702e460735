"""The GPU as a device of the executor: stage, run, collect, free, as the host's does, but beside the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from treadle_agent.executor.cuda.bound import Bound
from treadle_agent.executor.cuda.gpu import Bytes, Gpu, copy_in, copy_out
from treadle_agent.executor.cuda.moves import Move, inputs_of, outputs_of
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.host import Launched
from treadle_agent.executor.versions import row_of
from treadle_agent.policy.scheduling import Group


@dataclass(slots=True, eq=False)
class Outputs:
    """A group's outputs on their way: `copied` happens when they lie one behind the other in `staging`, as `view`."""

    moves: list[Move]
    staging: Any
    view: Bytes
    copied: Any


@dataclass(slots=True, eq=False)
class GpuPlace:
    """Where a group's problems are. `ready`: happens when its inputs have arrived; `staging` is kept until then."""

    slots: list[int]
    bound: Bound | None = None
    ready: Any = None
    staging: Any = None
    outputs: Outputs | None = None


class GpuDevice:
    """Runs groups on a GPU. `memory`: the shared memory in which requests' blocks lie.

    Outputs are copied on a stream of their own: the next group is decided, staged and launched meanwhile. Their slots
    and their staging memory are theirs until they have arrived.
    """

    def __init__(self, gpu: Gpu, memory: memoryview) -> None:
        self._gpu = gpu
        self._memory = memory
        self._leaving: list[Group] = []  # their outputs are on their way

    def stage(self, group: Group) -> None:
        """Begin to copy a group's inputs to its slots."""
        body = _body(group)
        if len(body.slots) < len(group.streams):
            for other in tuple(self._leaving):
                self._arrived(other)
        group.streams.sort(key=row_of)
        group.place = place = GpuPlace(body.slots.take(len(group.streams)))
        pairs = list(zip(place.slots, group.streams, strict=True))
        moves = [move for slot, one in pairs for move in inputs_of(body, slot, one)]
        with self._gpu.stream() as stream:
            place.bound = body.compose([(slot, row_of(one)) for slot, one in pairs], stream)
            place.staging, view = self._gpu.pinned(sum(nbytes for _, _, nbytes in moves))
            start = 0
            for offset, source, nbytes in moves:
                view[start : start + nbytes] = self._memory[source : source + nbytes]
                copy_in(body.memory, offset, place.staging, start, nbytes, stream)
                start += nbytes
            place.ready = self._gpu.event(timing=False)
            place.ready.record(stream)

    def run(self, group: Group, begin: int, end: int) -> Callable[[], Launched]:
        """Begin to run kernels begin..end of a staged group; what is returned waits for them."""
        body, place = _body(group), group.place
        assert isinstance(place, GpuPlace)
        assert place.bound is not None
        with self._gpu.stream() as stream:
            stream.wait_event(place.ready)
            durations = launch(self._gpu, place.bound, begin, end, stream)

        def wait() -> Launched:
            with self._gpu.stream():
                seconds = durations()
            return [(name, each, 1) for name, each in zip(body.signatures[begin:end], seconds, strict=True)]

        return wait

    def collect(self, group: Group) -> Callable[[], None]:
        """Begin to copy the outputs of a finished group; what is returned waits for them, writes them to its requests'
        blocks, and frees its place.
        """
        body, place = _body(group), group.place
        assert isinstance(place, GpuPlace)
        pairs = zip(place.slots, group.streams, strict=True)
        moves = [move for slot, one in pairs for move in outputs_of(body, slot, one)]
        with self._gpu.stream():
            staging, view = self._gpu.pinned(sum(nbytes for _, _, nbytes in moves))
            outputs = Outputs(moves, staging, view, self._gpu.event(timing=False))
            outlet, start = self._gpu.outlet(), 0
            for offset, _, nbytes in moves:
                copy_out(body.memory, offset, staging, start, nbytes, outlet)
                start += nbytes
            outputs.copied.record(outlet)
        place.outputs = outputs
        self._leaving.append(group)
        self._give_tables(body, place)  # the kernels that read them are done
        return partial(self._arrived, group)

    def free(self, group: Group) -> None:
        """Give back what a group holds, finished or not."""
        if isinstance(place := group.place, GpuPlace):
            with self._gpu.stream() as stream:  # staging is read or written until then, and tables written
                (stream if place.ready is None else place.ready).synchronize()
                if place.outputs is not None:
                    place.outputs.copied.synchronize()
                    self._leaving.remove(group)
            self._give_tables(_body(group), place)
            _body(group).slots.give(place.slots)
        group.place = None

    def _arrived(self, group: Group) -> None:
        """Wait for a group's outputs and write them to its requests' blocks, unless that was done."""
        if not isinstance(place := group.place, GpuPlace):
            return
        outputs = place.outputs
        assert outputs is not None
        with self._gpu.stream():
            outputs.copied.synchronize()
        start = 0
        for _, target, nbytes in outputs.moves:
            self._memory[target : target + nbytes] = outputs.view[start : start + nbytes].data
            start += nbytes
        self.free(group)

    @staticmethod
    def _give_tables(body: GpuProgram, place: GpuPlace) -> None:
        if place.bound is not None:
            body.give(place.bound)
            place.bound = None


def timed(gpu: Gpu, bound: Bound, begin: int, end: int, stream: Any) -> list[float]:
    """Launch kernels begin..end, wait for them, and return the seconds of each."""
    return launch(gpu, bound, begin, end, stream)()


def launch(gpu: Gpu, bound: Bound, begin: int, end: int, stream: Any) -> Callable[[], list[float]]:
    """Launch kernels begin..end; what is returned waits for them, and tells the seconds of each."""
    pieces = list(bound.pieces(begin, end))
    marks = [gpu.event(timing=True) for _ in range(len(pieces) + 1)]
    marks[0].record(stream)
    for mark, (_, launches) in zip(marks[1:], pieces, strict=True):
        for one in launches:
            one()
        mark.record(stream)

    def durations() -> list[float]:
        marks[-1].synchronize()
        seconds = (gpu.seconds(one, other) for one, other in pairwise(marks))
        told = (bound.told(kernels, whole) for (kernels, _), whole in zip(pieces, seconds, strict=True))
        return [each for one in told for each in one]

    return durations


def _body(group: Group) -> GpuProgram:
    body = group.executable.body
    assert isinstance(body, GpuProgram), "a GPU has no segments"
    return body
