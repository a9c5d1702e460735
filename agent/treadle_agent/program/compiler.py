"""Programs of one model, each proved against ONNX Runtime before it is written."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnxruntime as ort

from treadle_agent.program import proof, trials
from treadle_agent.program.artifact import LAUNCH_BOUND_SECONDS, ROW_COUNTS, Refused, binding_key
from treadle_agent.program.binding import bind, refuse_huge, refuse_unknown_operators, with_shapes
from treadle_agent.program.errors import ModelError, UnmatchedWeightError
from treadle_agent.program.limits import OUT_OF_MEMORY, Limits
from treadle_agent.program.lowering import lower
from treadle_agent.program.model import Program, Shape
from treadle_agent.program.onnx_import import Source
from treadle_agent.program.onnx_runtime import Level, open_session, run, session_options
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.trials import Trial


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiling a model gave.

    Attributes:
        weights: in the order of `Program.weights`.
        architecture: digest of the program of one row, or "" where other dimensions are free too.
        batchable: whether rows proved independent.
        refused: why no program may run, or "".
        typical: inputs to time the model with.
    """

    weights: tuple[Array, ...]
    architecture: str
    batchable: bool
    refused: str
    typical: Mapping[str, Array]


class Compiler:
    """One model's programs, written into its artifact folder."""

    def __init__(self, source: Source, folder: Path, limits: Limits) -> None:
        self._source = source
        self._folder = folder
        self._limits = limits
        static = source.static()
        if static is not None:
            refuse_huge(with_shapes(source.model, static), limits)
        self._session = _reference(source)

    def compile(self, bindings: Sequence[Mapping[str, Shape]]) -> Compiled:
        """Compile the first program, on whose weights all others are based, and those for `bindings`.

        Raises:
            ModelError: the model cannot be served.
        """
        source = self._source
        trial = trials.find(source, self._session, bindings)
        lowered = lower(bind(source, trial.shapes, self._limits))
        refused = proof.disagreement(lowered.program, lowered.weights, self._session, trial)
        self._write(trial.shapes, lowered.program, refused)
        batchable = source.rows and proof.rows_are_independent(self._session, trial)
        for shapes in bindings:
            self.bind(shapes, lowered.weights, refused)
        static = trial.shapes == source.static()
        if batchable and static and not refused:
            self.bind_batches(trial.shapes, lowered.weights)
        return Compiled(
            weights=lowered.weights,
            architecture=lowered.program.architecture if static else "",
            batchable=batchable,
            refused=refused,
            typical=trials.typical(source, self._session, trial),
        )

    def bind(self, shapes: Mapping[str, Shape], weights: Sequence[Array], refused: str = "") -> str:
        """Write the program for one binding over the model's weights; returns why it may not run, or "".

        `refused` says why none may. Raises ModelError where the model does not accept the shapes.
        """
        graph = bind(self._source, shapes, self._limits)
        trial = trials.at(self._source, self._session, shapes)
        try:
            program = lower(graph, weights).program
        except UnmatchedWeightError as error:
            program, refused = lower(graph).program, str(error)
        if not refused:
            refused = proof.disagreement(program, weights, self._session, trial)
        self._write(shapes, program, refused)
        return refused

    def bind_batches(self, shapes: Mapping[str, Shape], weights: Sequence[Array]) -> None:
        """Write the programs for more rows of a model that may be launch-bound: the executor merges with all or not."""
        if self._seconds(trials.at(self._source, self._session, shapes)) > LAUNCH_BOUND_SECONDS:
            return
        for rows in ROW_COUNTS[1:]:
            try:
                refused = self.bind({name: (rows, *shape[1:]) for name, shape in shapes.items()}, weights)
            except ModelError:  # rows beyond what the model or the limits allow
                return
            if refused:
                return

    def _seconds(self, trial: Trial) -> float:
        """What one row takes in ONNX Runtime."""
        taken = []
        for feeds in trial.feeds():
            begin = time.perf_counter()
            run(self._session, feeds)
            taken.append(time.perf_counter() - begin)
        return min(taken)

    def _write(self, shapes: Mapping[str, Shape], program: Program, refused: str) -> None:
        kind, document = ("refused", Refused(refused, program)) if refused else ("program", program)
        path = self._folder / f"{kind}-{binding_key(shapes)}.json"
        hidden = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}-{os.getpid()}")
        hidden.write_bytes(msgspec.json.encode(document))
        hidden.replace(path)


def _reference(source: Source) -> ort.InferenceSession:
    """The model as ONNX Runtime runs it, free dimensions free; where it does not, what is unsupported comes first."""
    try:
        return open_session(source.model.SerializeToString(), session_options(Level.ORT_ENABLE_ALL))
    except ModelError as error:
        if not OUT_OF_MEMORY.search(str(error)):
            refuse_unknown_operators(source.model)
        raise
