"""The GPU as a device of the executor: stage, run, collect, free, as the host's does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.cuda.bound import Bound
from treadle_agent.executor.cuda.gpu import Bytes, Gpu, copy_in, copy_out
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.host import Launched
from treadle_agent.executor.versions import binding_of, requests_of, row_of
from treadle_agent.policy.scheduling import Group, Stream


@dataclass(slots=True, eq=False)
class GpuPlace:
    """Where a group's problems are. `ready`: happens when its inputs have arrived; `staging` is kept until then."""

    slots: list[int]
    bound: Bound | None = None
    ready: Any = None
    staging: Any = None


class GpuDevice:
    """Runs groups on a GPU. `memory`: the shared memory in which requests' blocks lie."""

    def __init__(self, gpu: Gpu, memory: memoryview) -> None:
        self._gpu = gpu
        self._memory = memory

    def stage(self, group: Group) -> None:
        """Begin to copy a group's inputs to its slots."""
        body = _body(group)
        group.streams.sort(key=row_of)
        group.place = place = GpuPlace(body.slots.take(len(group.streams)))
        pairs = list(zip(place.slots, group.streams, strict=True))
        moves = [move for slot, one in pairs for move in _inputs(body, slot, one)]
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

    def run(self, group: Group, begin: int, end: int) -> Launched:
        """Run kernels begin..end of a staged group, and wait for them."""
        body, place = _body(group), group.place
        assert isinstance(place, GpuPlace)
        assert place.bound is not None
        with self._gpu.stream() as stream:
            stream.wait_event(place.ready)
            durations = timed(self._gpu, place.bound, begin, end, stream)
        return [(name, seconds, 1) for name, seconds in zip(body.signatures[begin:end], durations, strict=True)]

    def collect(self, group: Group) -> None:
        """Write the outputs of a finished group to its requests' blocks, and free its place."""
        body, place = _body(group), group.place
        assert isinstance(place, GpuPlace)
        pairs = zip(place.slots, group.streams, strict=True)
        moves = [move for slot, one in pairs for move in _outputs(body, slot, one)]
        with self._gpu.stream() as stream:
            pinned, view = self._gpu.pinned(sum(nbytes for _, _, nbytes in moves))
            start = 0
            for offset, _, nbytes in moves:
                copy_out(body.memory, offset, pinned, start, nbytes, stream)
                start += nbytes
            stream.synchronize()
        self._scatter(moves, view)
        self.free(group)

    def free(self, group: Group) -> None:
        """Give back what a group holds, finished or not."""
        if isinstance(place := group.place, GpuPlace):
            with self._gpu.stream() as stream:  # staging is read until then, and tables written
                (stream if place.ready is None else place.ready).synchronize()
            if place.bound is not None:
                _body(group).give(place.bound)
            _body(group).slots.give(place.slots)
        group.place = None

    def _scatter(self, moves: Sequence[tuple[int, int, int]], view: Bytes) -> None:
        start = 0
        for _, target, nbytes in moves:
            self._memory[target : target + nbytes] = view[start : start + nbytes].data
            start += nbytes


def timed(gpu: Gpu, bound: Bound, begin: int, end: int, stream: Any) -> list[float]:
    """Launch kernels begin..end, wait, and return the seconds of each."""
    pieces = list(bound.pieces(begin, end))
    marks = [gpu.event(timing=True) for _ in range(len(pieces) + 1)]
    marks[0].record(stream)
    for mark, (_, launches) in zip(marks[1:], pieces, strict=True):
        for launch in launches:
            launch()
        mark.record(stream)
    marks[-1].synchronize()
    seconds = (gpu.seconds(one, other) for one, other in pairwise(marks))
    return [each for (kernels, _), whole in zip(pieces, seconds, strict=True) for each in bound.told(kernels, whole)]


def _body(group: Group) -> GpuProgram:
    body = group.executable.body
    assert isinstance(body, GpuProgram), "a GPU has no segments"
    return body


def _inputs(body: GpuProgram, slot: int, stream: Stream) -> list[tuple[int, int, int]]:
    """(offset in the arena, offset in the shared memory, bytes) of each piece of a stream's inputs."""

    def place(binding: Binding, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return binding.input_bytes, binding.offsets(rows)[0]

    return _pieces(slot * body.stride, body.input_offsets, stream, place)


def _outputs(body: GpuProgram, slot: int, stream: Stream) -> list[tuple[int, int, int]]:
    """The same of its outputs."""

    def place(binding: Binding, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return binding.output_bytes, binding.offsets(rows)[1]

    return _pieces(slot * body.stride, body.output_offsets, stream, place)


def _pieces(
    start: int,
    ports: Sequence[int],
    stream: Stream,
    place: Callable[[Binding, int], tuple[tuple[int, ...], tuple[int, ...]]],
) -> list[tuple[int, int, int]]:
    """`start`: of the stream's slot; `place`: bytes of a row and offset in the request's block, of each port."""
    moves, row = [], 0
    for request in requests_of(stream):
        sizes, offsets = place(binding_of(stream, request), request.rows)
        for port, nbytes, offset in zip(ports, sizes, offsets, strict=True):
            if nbytes:
                moves.append((start + port + row * nbytes, request.block + offset, request.rows * nbytes))
        row += request.rows
    return moves
