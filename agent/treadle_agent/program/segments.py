"""A model as a chain of ONNX Runtime sessions whose weights are mapped from files.

Each segment is saved fully optimised, weights already in the layout that this machine's kernels read, so that a
session opens in milliseconds and maps what a session from bytes would copy twice (docs/adr/0004).
"""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import GraphProto, ModelProto, ValueInfoProto

from treadle_agent.program import cutting
from treadle_agent.program.artifact import Segment
from treadle_agent.program.cutting import Step
from treadle_agent.program.onnx_runtime import Level, open_session, optimise, run, session_options
from treadle_agent.program.ops.registry import Array

EXTERNAL_FROM_BYTES = 1024
SEGMENT_SECONDS = 0.005  # a segment is not interrupted: so long another tenant may have to wait for it (ADR 3)
REPEATS = 5
WORTH = 1.1  # a chain may take this much longer than the whole model in one session


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment before it is written."""

    model: ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def write(model: ModelProto, feeds: Mapping[str, Array] | None, folder: Path) -> tuple[Segment, ...]:
    """Write the chain of `model`, free dimensions left free, into `folder`; `feeds` are inputs to measure it with."""
    inputs = tuple(value.name for value in model.graph.input)
    outputs = tuple(value.name for value in model.graph.output)
    whole = (_Piece(model, inputs, outputs),)
    if feeds is None:
        return _save(whole, folder)
    (alone,) = _seconds((whole,), feeds)
    if alone <= SEGMENT_SECONDS:
        return _save(whole, folder)
    simple = _named(optimise(model))
    steps = _steps(simple.graph, _node_seconds(simple, feeds), alone)
    gaps = cutting.crossing(steps, outputs)
    bound = SEGMENT_SECONDS
    while True:
        cuts = cutting.choose(steps, gaps, bound)
        if not cuts:
            return _save(whole, folder)
        pieces = _pieces(simple, cuts, gaps)
        alone, chained = _seconds((whole, pieces), feeds)
        if chained <= WORTH * alone:
            return _save(pieces, folder)
        bound *= 2  # fewer cuts: each costs what ONNX Runtime would have fused across it


def open_segment(folder: Path, segment: Segment) -> ort.InferenceSession:
    """A session of one segment on one thread; all sessions of a process share one arena for activations."""
    _share_arena()
    options = session_options(Level.ORT_DISABLE_ALL)
    options.add_session_config_entry("session.use_env_allocators", "1")
    return open_session(str(folder / segment.file), options)


def save_source(model: ModelProto, path: Path) -> None:
    """Write a model with its weights in a file beside it; `model` is left as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    onnx.save_model(
        copy, path, save_as_external_data=True, location=f"{path.stem}.bin", size_threshold=EXTERNAL_FROM_BYTES
    )


@functools.cache
def _share_arena() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # Extend by what is asked for, not by powers of two: slots of memory are long-lived here.
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": 1}))


def _save(pieces: Sequence[_Piece], folder: Path) -> tuple[Segment, ...]:
    segments = []
    for index, piece in enumerate(pieces):
        stem = f"segment-{index}"
        options = session_options(Level.ORT_ENABLE_ALL)
        options.optimized_model_filepath = str(folder / f"{stem}.onnx")
        prefix = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{prefix}_file_name", f"{stem}.bin")
        options.add_session_config_entry(f"{prefix}_min_size_in_bytes", str(EXTERNAL_FROM_BYTES))
        options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
        open_session(piece.model.SerializeToString(), options)
        segments.append(Segment(f"{stem}.onnx", piece.inputs, piece.outputs))
    return tuple(segments)


def _seconds(chains: Sequence[Sequence[_Piece]], feeds: Mapping[str, Array]) -> tuple[float, ...]:
    """Seconds of each chain: the least of several runs taken in turns, as other processes may be running."""
    sessions = [
        [open_session(piece.model.SerializeToString(), session_options(Level.ORT_ENABLE_ALL)) for piece in chain]
        for chain in chains
    ]
    taken: list[list[float]] = [[] for _ in chains]
    for _ in range(REPEATS + 1):
        for chain, opened, seconds in zip(chains, sessions, taken, strict=True):
            tensors = dict(feeds)
            begin = time.perf_counter()
            for piece, session in zip(chain, opened, strict=True):
                given = run(session, {name: tensors[name] for name in piece.inputs})
                tensors.update(zip(piece.outputs, given, strict=True))
            seconds.append(time.perf_counter() - begin)
    return tuple(min(seconds[1:]) for seconds in taken)


def _named(model: ModelProto) -> ModelProto:
    """`model` with a name of its own for each node, by which the profile is read."""
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    return model


def _node_seconds(model: ModelProto, feeds: Mapping[str, Array]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(Level.ORT_DISABLE_ALL)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(model.SerializeToString(), options)
        for _ in range(REPEATS):
            run(session, feeds)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    seconds: dict[str, float] = {}
    for event in events:
        name, kind = str(event.get("name", "")), event.get("cat")
        if kind == "Node" and name.endswith("_kernel_time"):
            node = name.removesuffix("_kernel_time")
            seconds[node] = seconds.get(node, 0.0) + float(event["dur"]) / 1e6 / REPEATS
    return seconds


def _steps(graph: GraphProto, seconds: Mapping[str, float], total: float) -> list[Step]:
    """The nodes with their shares of `total`: apart they cost more than fused, but in about the same proportions."""
    apart = {one.name for one in (*graph.initializer, *graph.input)}
    scale = total / max(sum(seconds.values()), 1e-9)
    return [
        Step(
            tuple(dict.fromkeys(name for name in cutting.read_names(node) if name not in apart)),
            tuple(name for name in node.output if name),
            seconds.get(node.name, 0.0) * scale,
        )
        for node in graph.node
    ]


def _pieces(model: ModelProto, cuts: Sequence[int], gaps: Sequence[tuple[str, ...]]) -> tuple[_Piece, ...]:
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    declared = {value.name: value for value in (*inferred.value_info, *graph.input, *graph.output)}
    weights = {one.name: one for one in graph.initializer}
    outputs = [value.name for value in graph.output]
    pieces: list[_Piece] = []
    for begin, end in zip((0, *(cut + 1 for cut in cuts)), (*(cut + 1 for cut in cuts), len(graph.node)), strict=True):
        nodes = graph.node[begin:end]
        read = dict.fromkeys(name for node in nodes for name in cutting.read_names(node))
        given = {name for node in nodes for name in node.output}
        takes = tuple(name for name in read if name not in weights and name not in given)
        leaves = gaps[end - 1] if end < len(graph.node) else ()
        gives = tuple(dict.fromkeys(name for name in (*leaves, *outputs) if name in given))
        part = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
        part.graph.name = f"segment-{len(pieces)}"
        part.graph.node.extend(nodes)
        part.graph.initializer.extend(weights[name] for name in read if name in weights)
        part.graph.input.extend(_port(name, declared) for name in takes)
        part.graph.output.extend(_port(name, declared) for name in gives)
        pieces.append(_Piece(part, takes, gives))
    return tuple(pieces)


def _port(name: str, declared: Mapping[str, ValueInfoProto]) -> ValueInfoProto:
    """A tensor that crosses, with the dimensions that are numbers; names of free ones would tie unrelated segments."""
    port = ValueInfoProto()
    port.CopyFrom(declared[name])
    for dim in port.type.tensor_type.shape.dim:
        if dim.WhichOneof("value") == "dim_param":
            dim.ClearField("dim_param")
    return port
