"""Models' programs: files compiled by the loader, as the executor would have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from treadle_agent.program.artifact import Artifact, read_artifact
from treadle_agent.program.errors import ModelError
from treadle_agent.program.loader import Loader
from treadle_agent.program.model import Program, Shape


class UnprofiledError(Exception):
    """Raised when a model cannot be profiled; the message names the file and the fix."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, its artifact, and its program for one request of one row."""

    name: str
    folder: Path
    artifact: Artifact
    program: Program


def load(path: Path, cache: Path, bound: Mapping[str, Shape]) -> Model:
    """Compile a model where it is not known yet, with `bound` shapes for inputs whose sizes are free.

    Raises:
        UnprofiledError: it cannot be read or compiled, or a size is free beside the rows and not given.
    """
    try:
        folder = Loader(cache).compile(path)
        artifact = read_artifact(folder)
        shapes = {spec.name: bound.get(spec.name, _one_row(artifact, spec.shape)) for spec in artifact.inputs}
        free = [name for name, shape in shapes.items() if min(shape, default=0) < 0]
        if free:
            form = "x".join("N" if size < 0 else str(size) for size in shapes[free[0]])
            raise UnprofiledError(f"{path}: input {free[0]} has free sizes: give them by --shape {free[0]}={form}")
        program = Loader(cache).bind(folder, shapes)
    except ModelError as error:
        raise UnprofiledError(f"{path}: {error}") from error
    return Model(path.stem, folder, artifact, program)


def _one_row(artifact: Artifact, shape: Shape) -> Shape:
    return (1, *shape[1:]) if artifact.batchable else shape
