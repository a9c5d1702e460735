"""What the loader's child process does: compile a model into a folder, or one more binding of a compiled model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from treadle_agent.program import arena, segments
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, WeightEntry, read_artifact
from treadle_agent.program.binding import refuse_huge
from treadle_agent.program.compiler import Compiler
from treadle_agent.program.folding import type_of
from treadle_agent.program.jobs import BindJob, CompileJob
from treadle_agent.program.limits import Limits
from treadle_agent.program.onnx_import import read_model
from treadle_agent.program.ops.registry import Array

SOURCE, WEIGHTS = "source.onnx", "weights.bin"


def compile_model(job: CompileJob, limits: Limits) -> None:
    """Write a whole artifact folder; raises ModelError."""
    folder, path = Path(job.into), Path(job.model)
    source = read_model(path, limits, alone=job.alone)
    refuse_huge(source.model, limits)
    compiler = Compiler(source, folder, limits)
    compiled = compiler.compile(job.bindings)
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
        segments=segments.write(source.model, compiled.typical, folder),
        kernels_refused=compiled.refused,
        external={name: _sha256(path.parent / name) for name in source.external},
        checksums={},
    )
    checksums = {one.name: _sha256(one) for one in sorted(folder.iterdir())}
    (folder / "artifact.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(artifact, checksums=checksums)))


def bind_model(job: BindJob, limits: Limits) -> None:
    """Write the program of one more binding, and those for more of its rows; raises ModelError."""
    folder = Path(job.folder)
    artifact = read_artifact(folder)
    compiler = Compiler(read_model(folder / SOURCE, limits), folder, limits)
    weights = read_weights(folder, artifact)
    refused = compiler.bind(job.shapes, weights, artifact.kernels_refused)
    if not refused and artifact.batchable and all(shape[0] == 1 for shape in job.shapes.values()):
        compiler.bind_batches(job.shapes, weights)


def read_weights(folder: Path, artifact: Artifact) -> tuple[Array, ...]:
    """A model's weights in the order of `Program.weights`."""
    data = np.fromfile(folder / WEIGHTS, dtype=np.uint8)
    return tuple(
        data[one.offset : one.offset + one.type.nbytes].view("<f4").reshape(one.type.shape) for one in artifact.weights
    )


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
