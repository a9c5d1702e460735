"""What the loader process leaves of a model: a folder that the executor trusts because only our loader wrote it.

artifact.json            this module's `Artifact`
weights.bin              one slab row: every weight at its offset, little-endian C order
program-<key>.json       a `Program` for one binding of the free dimensions (`binding_key`)
refused-<key>.json       `Refused`: why there is no program for a binding
segment-<n>.onnx         the model as a chain of ONNX Runtime sessions, free dimensions left free, optimised for this
                         machine: open them by `segments.open_segment`
segment-<n>.bin          their external data, so that sessions map weights instead of copying them
source.onnx              the checked model with its weights in source.bin: what further bindings are compiled from
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from treadle_agent.program.model import DType, Program, Shape, TensorType

ROW_COUNTS = (1, 2, 4, 8, 16, 32)  # programs of a batchable, launch-bound model; a request has at most the last
LAUNCH_BOUND_SECONDS = 0.002  # a row that takes ONNX Runtime longer is arithmetic: merging it gains nothing
ARTIFACT_VERSION = 3
SAFE_KEY = re.compile(r"[\w.,=-]{1,150}", re.ASCII)


class TensorSpec(msgspec.Struct, frozen=True):
    """A model's input or output as clients see it; a free dimension is -1."""

    name: str
    dtype: DType
    shape: Shape


class WeightEntry(msgspec.Struct, frozen=True):
    """One weight of this model, in the order of `Program.weights`: its type and its byte offset in weights.bin."""

    type: TensorType
    offset: int


class Segment(msgspec.Struct, frozen=True):
    """A bounded piece of the model as one ONNX Runtime session: file name, and tensor names it takes and gives."""

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Artifact(msgspec.Struct, frozen=True):
    """A checked model.

    `batchable`: dimension 0 of every input and output is one free dimension, and the rows proved independent when
    run together and apart. `architecture` is the digest of the program with every free batch dimension bound to 1,
    or "" where other dimensions are free too.
    `weight_bytes` is the length of weights.bin, a multiple of the alignment.
    `kernels_refused` says why no program may run, and is "" where programs agree with ONNX Runtime; segments always
    may.
    `external`: SHA-256 of the files beside the model that its weights were read from.
    `checksums`: SHA-256 of every other file the folder was made with.
    """

    version: int
    model_sha256: str
    architecture: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool
    weights: tuple[WeightEntry, ...]
    weight_bytes: int
    segments: tuple[Segment, ...]
    kernels_refused: str
    external: dict[str, str]
    checksums: dict[str, str]


def binding_key(shapes: Mapping[str, Shape]) -> str:
    """File-name-safe key of a full binding, inputs by name: ``x=1x3x48x320``, or a digest where that is not safe."""
    key = ",".join(f"{name}={'x'.join(map(str, shape)) or 'scalar'}" for name, shape in sorted(shapes.items()))
    return key if SAFE_KEY.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()


class Refused(msgspec.Struct, frozen=True):
    """A program that may not run, and why: it still says the types of values, and segments run in its place."""

    reason: str
    program: Program


# Made here, once: msgspec looks into a type when it first needs it, and threads that did so at the same moment have
# ended a server with a segmentation fault.
_decode_artifact = msgspec.json.Decoder(Artifact).decode
_decode_program = msgspec.json.Decoder(Program).decode
_decode_refused = msgspec.json.Decoder(Refused).decode


def read_refused(folder: Path, key: str) -> Refused | None:
    """The refused program for one binding, None where there is none or its file is damaged."""
    try:
        return _decode_refused((folder / f"refused-{key}.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def read_program(folder: Path, key: str) -> Program | None:
    """The program for one binding, None where it is not compiled yet or its file is damaged."""
    try:
        return _decode_program((folder / f"program-{key}.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def read_artifact(folder: Path) -> Artifact:
    """Read `artifact.json`; raises msgspec.ValidationError or OSError when the folder is damaged."""
    return _decode_artifact((folder / "artifact.json").read_bytes())
