"""What a version's tiers have in common, read from their artifacts; whatever they differ in is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from treadle_agent.executor.bindings import Shapes, split_rows
from treadle_agent.executor.gateway import RefusedError, Served
from treadle_agent.executor.protocol import Version
from treadle_agent.program.artifact import Artifact, read_artifact
from treadle_agent.program.errors import ModelError
from treadle_agent.program.model import Program, Shape, TensorType
from treadle_api.replica import LoadedReason

CompileBinding = Callable[[Path, Mapping[str, Shape]], Program]
"""Artifact folder and one row's input shapes by name, to the program: `program.loader.Loader.bind`.

May take seconds; raises ModelError, OSError.
"""


def read_common(version: Version) -> Artifact:
    """The first tier's artifact, after a check that clients cannot tell the others from it; raises RefusedError."""
    artifacts = []
    for tier in version.tiers:
        try:
            artifacts.append(read_artifact(Path(tier.artifact)))
        except (OSError, msgspec.DecodeError) as error:
            raise RefusedError(f"its artifact cannot be read: {error}", tier=tier.name) from error
    if not artifacts:
        raise RefusedError("a version needs at least one tier")
    first = artifacts[0]
    for tier, artifact in zip(version.tiers, artifacts, strict=True):
        for field in ("inputs", "outputs", "batchable"):
            if getattr(artifact, field) != getattr(first, field):
                raise RefusedError(
                    f"its {field} differ from tier {version.tiers[0].name}'s: "
                    f"{getattr(artifact, field)} against {getattr(first, field)}; make them the same",
                    LoadedReason.TIERS_DIFFER,
                    tier.name,
                )
    return first


def only_shapes(served: Served) -> Shapes | None:
    """The shapes of one row, where nothing but the rows is free; else None."""
    shapes = tuple((1, *one.shape[1:]) if served.batchable else one.shape for one in served.inputs)
    return None if any(dim < 0 for shape in shapes for dim in shape) else shapes


def one_row_of(served: Served, shapes: Shapes) -> Shapes:
    """The shapes of one row of a request's, checked against the declared ones; raises RefusedError."""
    if len(shapes) != len(served.inputs):
        raise RefusedError(f"{len(shapes)} inputs, the model takes {len(served.inputs)}")
    for spec, shape in zip(served.inputs, shapes, strict=True):
        fits = len(shape) == len(spec.shape) and all(
            dim >= 1 and free in (dim, -1) for dim, free in zip(shape, spec.shape, strict=True)
        )
        if not fits:
            raise RefusedError(f"input {spec.name}: shape {list(shape)} does not fit {list(spec.shape)} (-1: any)")
    try:
        _, one_row = split_rows(shapes, batchable=served.batchable)
    except ValueError as error:
        raise RefusedError(str(error)) from error
    return one_row


def compile_types(
    compile_binding: CompileBinding, served: Served, one_row: Shapes
) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
    """Compile all tiers for the shapes of one row; the types of inputs and outputs. Blocks; raises RefusedError."""
    shapes = {spec.name: shape for spec, shape in zip(served.inputs, one_row, strict=True)}
    found: dict[tuple[TensorType, ...], str] = {}
    for tier in served.version.tiers:
        try:
            program = compile_binding(Path(tier.artifact), shapes)
        except (ModelError, OSError) as error:
            raise RefusedError(str(error), tier=tier.name) from error
        values = {port.name: program.values[port.value] for port in program.outputs}
        found.setdefault(tuple(values[spec.name] for spec in served.outputs), tier.name)
    if len(found) != 1:
        message = f"tiers differ in the outputs for input shapes {list(one_row)}: {found}"
        raise RefusedError(message, LoadedReason.TIERS_DIFFER)
    inputs = tuple(TensorType(spec.dtype, shape) for spec, shape in zip(served.inputs, one_row, strict=True))
    return inputs, next(iter(found))
