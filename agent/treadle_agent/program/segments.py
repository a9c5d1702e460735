"""A model as a chain of ONNX Runtime sessions whose weights are mapped from a file."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.external_data_helper
import onnxruntime as ort
from onnx import ModelProto

from treadle_agent.program.artifact import Segment
from treadle_agent.program.binding import open_session, session_options
from treadle_agent.program.onnx_import import Source

DATA = "segments.bin"
EXTERNAL_FROM_BYTES = 1024


def write(source: Source, folder: Path) -> tuple[Segment, ...]:
    """Write the chain of `source` into an artifact folder."""
    save(source.model, folder / "segment-0.onnx", DATA)
    return (
        Segment(
            "segment-0.onnx",
            tuple(one.name for one in source.inputs),
            tuple(one.name for one in source.outputs),
        ),
    )


def save(model: ModelProto, path: Path, data: str) -> None:
    """Write a model with its weights in the file `data` beside it; `model` is left as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    onnx.save_model(copy, path, save_as_external_data=True, location=data, size_threshold=EXTERNAL_FROM_BYTES)


def open_segment(folder: Path, segment: Segment, threads: int = 1) -> ort.InferenceSession:
    """A session of one segment, its weights mapped from the artifact folder."""
    options = session_options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.intra_op_num_threads = threads
    return open_session(str(folder / segment.file), options)
