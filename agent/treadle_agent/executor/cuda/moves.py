"""What is copied of a stream's tensors: from its requests' blocks to its slot, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.versions import binding_of, requests_of
from treadle_agent.policy.scheduling import Stream

Move = tuple[int, int, int]  # offset in the arena, offset in the shared memory, bytes


def inputs_of(body: GpuProgram, slot: int, stream: Stream) -> list[Move]:
    """Of each piece of a stream's inputs."""

    def place(binding: Binding, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return binding.input_bytes, binding.offsets(rows)[0]

    return _pieces(slot * body.stride, body.input_offsets, stream, place)


def outputs_of(body: GpuProgram, slot: int, stream: Stream) -> list[Move]:
    """Of each piece of its outputs."""

    def place(binding: Binding, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return binding.output_bytes, binding.offsets(rows)[1]

    return _pieces(slot * body.stride, body.output_offsets, stream, place)


def _pieces(
    start: int,
    ports: Sequence[int],
    stream: Stream,
    place: Callable[[Binding, int], tuple[tuple[int, ...], tuple[int, ...]]],
) -> list[Move]:
    """`start`: of the stream's slot; `place`: bytes of a row and offset in the request's block, of each port."""
    moves, row = [], 0
    for request in requests_of(stream):
        sizes, offsets = place(binding_of(stream, request), request.rows)
        for port, nbytes, offset in zip(ports, sizes, offsets, strict=True):
            if nbytes:
                moves.append((start + port + row * nbytes, request.block + offset, request.rows * nbytes))
        row += request.rows
    return moves
