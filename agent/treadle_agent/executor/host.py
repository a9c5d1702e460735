"""The host as a device: super-kernels through NumPy, segments through ONNX Runtime, on the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from treadle_agent.executor.banks import Place
from treadle_agent.executor.lines import Ports, by_lines, starts_of
from treadle_agent.executor.protocol import Submit
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.super_kernel import MergedProgram, run
from treadle_agent.executor.versions import binding_of, requests_of, row_of
from treadle_agent.policy.scheduling import Group, Stream
from treadle_agent.program.ops.registry import Array, Launch

Launched = list[tuple[str, float, int]]  # (signature, seconds, launches that it took) of each kernel


FEWEST_LINED = 4  # requests: fewer are copied one by one in less time, ...
MOST_LINED = 64  # ... and so are larger ones: lines of a request's inputs and outputs


@dataclass(slots=True, eq=False)
class Lined:
    """A group whose tensors are copied all at once: its bank by lines, and at which lines slots and blocks begin.

    All streams are one request of equally many rows, whose tensors lie alike.
    """

    bank: Array
    slots: Array
    blocks: Array
    inputs: Ports
    outputs: Ports


@dataclass(slots=True, eq=False)
class MergedPlace:
    """Where a group's problems are, the launches bound to them, and how their tensors are copied."""

    problems: Place
    composed: Sequence[tuple[Launch, ...]]
    lined: Lined | None = None


@dataclass(slots=True, eq=False)
class ChainPlace:
    """The live tensors of the one stream that runs through a segment chain."""

    tensors: dict[str, Array]


class Device(Protocol):
    """Runs groups: each is staged, run a few kernels at a time, and then collected, or freed.

    What a device does beside the host it may return begun, as a function that waits for it: the kernels of the next
    group may be launched between `collect` and what that returned, and other groups' functions be called before one
    that `run` returned. All are called, and on the thread that has them.
    """

    def stage(self, group: Group) -> None:
        """Bring a group's inputs to where its kernels read them."""

    def run(self, group: Group, begin: int, end: int) -> Launched | Callable[[], Launched]:
        """Run kernels begin..end of a staged group; done when it returns, or what it returns."""

    def collect(self, group: Group) -> Callable[[], None] | None:
        """Write the outputs of a finished group to its requests' blocks, and free its place; done as above."""

    def free(self, group: Group) -> None:
        """Give back what a group holds, finished or not."""


class HostDevice:
    """Runs groups. `memory`: the shared memory in which requests' blocks lie; `clock`: seconds."""

    def __init__(self, memory: memoryview, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._lines = by_lines(memory)
        self._clock = clock

    def stage(self, group: Group) -> None:
        """Bring a group's inputs to where its kernels read them."""
        body = group.executable.body
        if isinstance(body, SegmentChain):
            (stream,) = group.streams
            group.place = ChainPlace(dict(zip(body.inputs, self._gather(stream), strict=True)))
        else:
            assert isinstance(body, MergedProgram)
            problems = body.place([row_of(one) for one in group.streams])
            group.place = place = MergedPlace(problems, ())  # before anything can fail: `free` gives the slots back
            place.composed = body.compose(problems)
            place.lined = lined = _lined(body, problems, group.streams)
            if lined is not None:
                ports = lined.inputs
                lined.bank[lined.slots + ports.slot] = self._lines[lined.blocks + ports.block]
                return
            for slot, stream in zip(problems.slots, group.streams, strict=True):
                self._copy_in(body, slot, stream)

    def run(self, group: Group, begin: int, end: int) -> Launched:
        """Run kernels begin..end of a staged group."""
        body, place = group.executable.body, group.place
        if isinstance(body, SegmentChain):
            assert isinstance(place, ChainPlace)
            durations = body.run(place.tensors, begin, end, self._clock)
            return [(name, seconds, 1) for name, seconds in zip(body.signatures[begin:end], durations, strict=True)]
        assert isinstance(body, MergedProgram)
        assert isinstance(place, MergedPlace)
        durations = run(place.composed, begin, end, self._clock)
        calls = map(len, place.composed[begin:end])
        return list(zip(body.signatures[begin:end], durations, calls, strict=True))

    def collect(self, group: Group) -> None:
        """Write the outputs of a finished group to its requests' blocks, and free its place."""
        body, place = group.executable.body, group.place
        if isinstance(body, SegmentChain):
            assert isinstance(place, ChainPlace)
            (stream,) = group.streams
            self._scatter(stream, body.outputs, [place.tensors[name] for name in body.outputs])
        else:
            assert isinstance(body, MergedProgram)
            assert isinstance(place, MergedPlace)
            if (lined := place.lined) is not None:
                ports = lined.outputs
                self._lines[lined.blocks + ports.block] = lined.bank[lined.slots + ports.slot]
            else:
                for slot, stream in zip(place.problems.slots, group.streams, strict=True):
                    self._copy_out(body, slot, stream)
        self.free(group)

    def free(self, group: Group) -> None:
        """Give back what a group holds, finished or not."""
        if isinstance(group.place, MergedPlace):
            assert isinstance(group.executable.body, MergedProgram)
            group.executable.body.give(group.place.problems)
        group.place = None

    def _copy_in(self, body: MergedProgram, slot: int, stream: Stream) -> None:
        arena, memory = body.memory(slot), self._memory
        row = 0
        for request in requests_of(stream):
            binding = binding_of(stream, request)
            offsets, _ = binding.offsets(request.rows)
            for port, nbytes, offset in zip(body.input_offsets, binding.input_bytes, offsets, strict=True):
                start, length, source = port + row * nbytes, request.rows * nbytes, request.block + offset
                arena[start : start + length] = memory[source : source + length]
            row += request.rows

    def _copy_out(self, body: MergedProgram, slot: int, stream: Stream) -> None:
        arena, memory = body.memory(slot), self._memory
        row = 0
        for request in requests_of(stream):
            binding = binding_of(stream, request)
            _, offsets = binding.offsets(request.rows)
            for port, nbytes, offset in zip(body.output_offsets, binding.output_bytes, offsets, strict=True):
                start, length, target = port + row * nbytes, request.rows * nbytes, request.block + offset
                memory[target : target + length] = arena[start : start + length]
            row += request.rows

    def _gather(self, stream: Stream) -> list[Array]:
        parts = [
            binding_of(stream, request).arrays(self._memory, request.block, request.rows)
            for request in requests_of(stream)
        ]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _scatter(self, stream: Stream, names: Sequence[str], outputs: Sequence[Array]) -> None:
        expected = binding_of(stream, requests_of(stream)[0]).output_bytes
        for name, output, nbytes in zip(names, outputs, expected, strict=True):
            if output.nbytes != stream.rows * nbytes:
                raise ValueError(f"output {name} came in shape {output.shape}, not in the one that its inputs promise")
        flat = [np.ascontiguousarray(output).reshape(-1).view(np.uint8).data for output in outputs]
        row = 0
        for request in requests_of(stream):
            binding = binding_of(stream, request)
            _, offsets = binding.offsets(request.rows)
            for source, nbytes, offset in zip(flat, binding.output_bytes, offsets, strict=True):
                start, length, target = row * nbytes, request.rows * nbytes, request.block + offset
                self._memory[target : target + length] = source[start : start + length]
            row += request.rows


def _lined(body: MergedProgram, place: Place, streams: Sequence[Stream]) -> Lined | None:
    """How to copy a group's tensors at once; None where they are few, or large, or do not lie alike."""
    if len(streams) < FEWEST_LINED:
        return None
    batches = [stream.requests for stream in streams]
    if max(map(len, batches)) > 1 or (found := body.lines(place)) is None:
        return None
    requests = cast("list[Submit]", [batch[0] for batch in batches])
    first = requests[0]
    if len({request.rows for request in requests}) > 1:
        return None
    inputs, outputs = body.ports(binding_of(streams[0], first), first.rows)
    if len(inputs.slot) + len(outputs.slot) > MOST_LINED:
        return None
    bank, slots = found
    return Lined(bank, slots, starts_of([request.block for request in requests]), inputs, outputs)
