"""What the loader's child process does: compile a model into a folder, or one more binding of a compiled model."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort

from treadle_agent.program import arena, proof, segments
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, WeightEntry, binding_key, read_artifact
from treadle_agent.program.binding import bind, refuse_unknown_operators
from treadle_agent.program.errors import ModelError
from treadle_agent.program.folding import type_of
from treadle_agent.program.forkserver import follow_parent
from treadle_agent.program.limits import Limits, confine, memory_message
from treadle_agent.program.lowering import Lowered, lower
from treadle_agent.program.model import Program, Shape
from treadle_agent.program.onnx_import import FREE, Source, read_model
from treadle_agent.program.onnx_runtime import Level, open_session, run, session_options
from treadle_agent.program.ops.registry import Array

SOURCE, WEIGHTS = "source.onnx", "weights.bin"
# Sizes tried for free dimensions other than rows, to see the model run before anybody names a shape.
TRIAL_SIZES = (32, 48, 64, 224, 16, 8, 128, 1)
TYPICAL_SIZE = 320


class CompileJob(msgspec.Struct, frozen=True):
    """Compile `model` into the existing empty folder `into`."""

    model: str
    into: str
    model_sha256: str
    bindings: tuple[dict[str, Shape], ...]


class BindJob(msgspec.Struct, frozen=True):
    """Compile the program of one more binding into an artifact folder."""

    folder: str
    shapes: dict[str, Shape]


Job = CompileJob | BindJob


class Status(msgspec.Struct, frozen=True):
    """What the child tells: nothing, or why it failed."""

    error: str = ""
    unsupported: tuple[tuple[str, int, str], ...] = ()


def work(sender: Connection, limits: Limits, job: Job) -> None:
    """Entry of the child process: do `job` under `limits` and send one Status."""
    follow_parent()
    confine(limits)
    ort.set_default_logger_severity(4)
    try:
        if isinstance(job, CompileJob):
            compile_model(job, limits)
        else:
            bind_model(job, limits)
        status = Status()
    except ModelError as error:
        status = Status(_explained(str(error), limits), tuple(error.unsupported))
    except MemoryError:
        status = Status(memory_message(limits))
    except OSError as error:
        status = Status(f"the artifact cannot be written: {error}")
    except Exception as error:  # noqa: BLE001  # whatever a library raises on hostile input is the model's fault
        status = Status(_explained(f"the model cannot be compiled: {type(error).__name__}: {error}", limits))
    sender.send_bytes(msgspec.msgpack.encode(status))


def compile_model(job: CompileJob, limits: Limits) -> None:
    """Write a whole artifact folder; raises ModelError."""
    folder = Path(job.into)
    path = Path(job.model)
    source = read_model(path, limits)
    session = open_session(source.model.SerializeToString(), session_options(Level.ORT_ENABLE_ALL))
    trial = _trial(source, session, job.bindings)
    refused, lowered, batchable = "", None, False
    if trial is None:
        refuse_unknown_operators(source.model)
        refused = "no shapes were found that the model accepts for its free dimensions; declare bindings"
    else:
        batchable = source.rows and proof.rows_are_independent(session, source.inputs, trial)
        lowered = lower(bind(source, trial, limits))
        refused = proof.disagreement(lowered, session, source.inputs, trial)
    offsets, weight_bytes = _write_weights(folder / WEIGHTS, lowered.weights if lowered else ())
    if trial is not None and lowered is not None and not refused:
        _write_program(folder, trial, lowered.program)
        for shapes in job.bindings:
            _write_program(folder, shapes, _bound(source, shapes, lowered.weights, session, limits))
    static = trial is not None and trial == source.static()
    segments.save_source(source.model, folder / SOURCE)
    artifact = Artifact(
        version=ARTIFACT_VERSION,
        model_sha256=job.model_sha256,
        architecture=lowered.program.architecture if lowered and static else "",
        inputs=source.inputs,
        outputs=source.outputs,
        batchable=batchable,
        weights=tuple(
            WeightEntry(type_of(one), offset)
            for one, offset in zip(lowered.weights if lowered else (), offsets, strict=True)
        ),
        weight_bytes=weight_bytes,
        segments=segments.write(source.model, _typical(source, session, trial), folder),
        kernels_refused=refused,
        external={name: _sha256(path.parent / name) for name in source.external},
        checksums={},
    )
    checksums = {one.name: _sha256(one) for one in sorted(folder.iterdir())}
    (folder / "artifact.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(artifact, checksums=checksums)))


def bind_model(job: BindJob, limits: Limits) -> None:
    """Write the program of one more binding; raises ModelError."""
    folder = Path(job.folder)
    artifact = read_artifact(folder)
    if artifact.kernels_refused:
        raise ModelError(f"no program may run for this model: {artifact.kernels_refused}")
    source = read_model(folder / SOURCE, limits)
    session = open_session(source.model.SerializeToString(), session_options(Level.ORT_ENABLE_ALL))
    weights = read_weights(folder, artifact)
    _write_program(folder, job.shapes, _bound(source, job.shapes, weights, session, limits))


def read_weights(folder: Path, artifact: Artifact) -> tuple[Array, ...]:
    """A model's weights in the order of `Program.weights`."""
    data = np.fromfile(folder / WEIGHTS, dtype=np.uint8)
    return tuple(
        data[one.offset : one.offset + one.type.nbytes].view("<f4").reshape(one.type.shape) for one in artifact.weights
    )


def _trial(
    source: Source, session: ort.InferenceSession, bindings: Sequence[Mapping[str, Shape]]
) -> Mapping[str, Shape] | None:
    """The binding that everything is proved with: one row, and the first sizes that ONNX Runtime runs."""
    static = source.static()
    if static is not None:
        return static
    guesses = [source.shapes(size) for size in TRIAL_SIZES]
    return next((shapes for shapes in (*bindings, *guesses) if _runs(source, session, shapes)), None)


def _typical(
    source: Source, session: ort.InferenceSession, trial: Mapping[str, Shape] | None
) -> Mapping[str, Array] | None:
    """Inputs to time the model with: those of the trial, each free dimension as large as a typical one if it may be."""
    if trial is None:
        return None
    shapes = dict(trial)
    for one in source.inputs:
        for axis, dim in enumerate(one.shape):
            if dim == FREE and not (source.rows and axis == 0):
                shape = shapes[one.name]
                larger = shapes | {one.name: (*shape[:axis], max(TYPICAL_SIZE, shape[axis]), *shape[axis + 1 :])}
                shapes = larger if _runs(source, session, larger) else shapes
    return next(proof.trials(source.inputs, shapes))


def _runs(source: Source, session: ort.InferenceSession, shapes: Mapping[str, Shape]) -> bool:
    try:
        for feeds in proof.trials(source.inputs, shapes):
            run(session, feeds)
    except (ModelError, KeyError):
        return False
    return True


def _bound(
    source: Source, shapes: Mapping[str, Shape], weights: Sequence[Array], session: ort.InferenceSession, limits: Limits
) -> Program:
    lowered = lower(bind(source, shapes, limits), weights)
    refused = proof.disagreement(Lowered(lowered.program, tuple(weights)), session, source.inputs, shapes)
    if refused:
        raise ModelError(f"the program for {binding_key(shapes)} is refused: {refused}")
    return lowered.program


def _write_program(folder: Path, shapes: Mapping[str, Shape], program: Program) -> None:
    path = folder / f"program-{binding_key(shapes)}.json"
    hidden = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}-{os.getpid()}")
    hidden.write_bytes(msgspec.json.encode(program))
    hidden.replace(path)


def _write_weights(path: Path, weights: Sequence[Array]) -> tuple[tuple[int, ...], int]:
    offsets, end = [], 0
    with path.open("wb") as file:
        for one in weights:
            offsets.append(end)
            data = np.ascontiguousarray(one, dtype="<f4").tobytes()
            end += arena.padded(len(data))
            file.write(data.ljust(end - offsets[-1], b"\0"))
    return tuple(offsets), end


def _explained(message: str, limits: Limits) -> str:
    out_of_memory = re.search(r"bad.?alloc|failed to allocate|out of memory|std::length_error", message, re.IGNORECASE)
    return f"{memory_message(limits)} ({message[:200]})" if out_of_memory else message


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
