"""What the loader's child process does: compile a model into a folder, or one more binding of a compiled model."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort

from treadle_agent.program import arena, proof, segments, trials
from treadle_agent.program.artifact import (
    ARTIFACT_VERSION,
    ROW_COUNTS,
    Artifact,
    WeightEntry,
    binding_key,
    read_artifact,
)
from treadle_agent.program.binding import bind, refuse_huge, refuse_unknown_operators
from treadle_agent.program.errors import ModelError
from treadle_agent.program.folding import type_of
from treadle_agent.program.forkserver import follow_parent
from treadle_agent.program.limits import OUT_OF_MEMORY, Limits, confine, explained, memory_message
from treadle_agent.program.lowering import lower
from treadle_agent.program.model import Program, Shape
from treadle_agent.program.onnx_import import Source, read_model
from treadle_agent.program.onnx_runtime import Level, open_session, run, session_options
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.trials import Trial

LAUNCH_BOUND_SECONDS = 0.002  # a row that takes ONNX Runtime longer is arithmetic: merging it gains nothing
SOURCE, WEIGHTS = "source.onnx", "weights.bin"


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
        status = Status(explained(str(error), limits), tuple(error.unsupported))
    except MemoryError:
        status = Status(memory_message(limits))
    except OSError as error:
        status = Status(explained(f"the artifact cannot be written: {error}", limits))
    except Exception as error:  # noqa: BLE001  # whatever a library raises on hostile input is the model's fault
        status = Status(explained(f"the model cannot be compiled: {type(error).__name__}: {error}", limits))
    sender.send_bytes(msgspec.msgpack.encode(status))


def compile_model(job: CompileJob, limits: Limits) -> None:
    """Write a whole artifact folder; raises ModelError."""
    folder, path = Path(job.into), Path(job.model)
    source = read_model(path, limits)
    refuse_huge(source.model, limits)
    session = _reference(source)
    trial = trials.find(source, session, job.bindings)
    if trial is None:
        refuse_unknown_operators(source.model)
        reason = "ONNX Runtime runs it with none of the shapes tried; declare its bindings"
        compiled = _Compiled(weights=(), architecture="", batchable=False, refused=reason)
        feeds = None
    else:
        compiled = _compile_programs(source, session, trial, job.bindings, folder, limits)
        feeds = trials.typical(source, session, trial)
    offsets, weight_bytes = _write_weights(folder / WEIGHTS, compiled.weights)
    segments.save_source(source.model, folder / SOURCE)
    artifact = Artifact(
        version=ARTIFACT_VERSION,
        model_sha256=job.model_sha256,
        architecture=compiled.architecture,
        inputs=source.inputs,
        outputs=source.outputs,
        batchable=compiled.batchable,
        weights=tuple(WeightEntry(type_of(one), offset) for one, offset in zip(compiled.weights, offsets, strict=True)),
        weight_bytes=weight_bytes,
        segments=segments.write(source.model, feeds, folder),
        kernels_refused=compiled.refused,
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
    session, weights = _reference(source), read_weights(folder, artifact)
    _write_bound(source, job.shapes, weights, session, folder, limits)
    if artifact.batchable and all(shape[0] == 1 for shape in job.shapes.values()):
        _write_batches(source, trials.at(source, session, job.shapes), weights, session, folder, limits)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What compiling the kernels of a model gave; `refused` says why they may not run."""

    weights: tuple[Array, ...]
    architecture: str
    batchable: bool
    refused: str


def _compile_programs(
    source: Source,
    session: ort.InferenceSession,
    trial: Trial,
    bindings: Sequence[Mapping[str, Shape]],
    folder: Path,
    limits: Limits,
) -> _Compiled:
    lowered = lower(bind(source, trial.shapes, limits))
    refused = proof.disagreement(lowered.program, lowered.weights, session, trial)
    batchable = source.rows and proof.rows_are_independent(session, trial)
    if not refused:
        _write_program(folder, trial.shapes, lowered.program)
        for shapes in bindings:
            _write_bound(source, shapes, lowered.weights, session, folder, limits)
        if batchable and trial.shapes == source.static():
            _write_batches(source, trial, lowered.weights, session, folder, limits)
    return _Compiled(
        weights=lowered.weights,
        architecture=lowered.program.architecture if trial.shapes == source.static() else "",
        batchable=batchable,
        refused=refused,
    )


def _write_batches(
    source: Source, trial: Trial, weights: Sequence[Array], session: ort.InferenceSession, folder: Path, limits: Limits
) -> None:
    """Write the programs for more rows of a model that may be launch-bound: the executor merges with all or not."""
    if _seconds(session, trial) > LAUNCH_BOUND_SECONDS:
        return
    for rows in ROW_COUNTS[1:]:
        shapes = {name: (rows, *shape[1:]) for name, shape in trial.shapes.items()}
        try:
            _write_bound(source, shapes, weights, session, folder, limits)
        except ModelError:
            return


def _seconds(session: ort.InferenceSession, trial: Trial) -> float:
    """What one row takes in ONNX Runtime."""
    taken = []
    for feeds in trial.feeds():
        begin = time.perf_counter()
        run(session, feeds)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def _write_bound(
    source: Source,
    shapes: Mapping[str, Shape],
    weights: Sequence[Array],
    session: ort.InferenceSession,
    folder: Path,
    limits: Limits,
) -> None:
    """Write the program for one binding, over the weights of the model's first one."""
    program = lower(bind(source, shapes, limits), weights).program
    refused = proof.disagreement(program, weights, session, trials.at(source, session, shapes))
    if refused:
        raise ModelError(f"the program for {binding_key(shapes)} is refused: {refused}")
    _write_program(folder, shapes, program)


def _reference(source: Source) -> ort.InferenceSession:
    """The model as ONNX Runtime runs it, free dimensions free; where it does not, what is unsupported comes first."""
    try:
        return open_session(source.model.SerializeToString(), session_options(Level.ORT_ENABLE_ALL))
    except ModelError as error:
        if not OUT_OF_MEMORY.search(str(error)):
            refuse_unknown_operators(source.model)
        raise


def read_weights(folder: Path, artifact: Artifact) -> tuple[Array, ...]:
    """A model's weights in the order of `Program.weights`."""
    data = np.fromfile(folder / WEIGHTS, dtype=np.uint8)
    return tuple(
        data[one.offset : one.offset + one.type.nbytes].view("<f4").reshape(one.type.shape) for one in artifact.weights
    )


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
