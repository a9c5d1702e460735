"""What kind of file is this? Real files, asked of a real model: magika's, which reads a file's two ends."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

# Suffixes whose files are what they are called, in magika's words.
LABELS = {
    ".c": "c", ".css": "css", ".csv": "csv", ".js": "javascript", ".npy": "npy", ".npz": "npz", ".onnx": "onnx",
    ".pdf": "pdf", ".png": "png", ".py": "python", ".pyx": "python", ".rst": "rst", ".so": "elf", ".svg": "svg",
    ".toml": "toml", ".ttf": "ttf",
}  # fmt: skip
SMALLEST, LARGEST = 64, 8 << 20  # bytes of a file worth asking about
PADDING = 256  # beyond every byte

Array = npt.NDArray[Any]


class _Config(msgspec.Struct):
    beg_size: int
    mid_size: int
    end_size: int
    block_size: int
    padding_token: int
    use_inputs_at_offsets: bool
    target_labels_space: list[str]


class UnknownFeaturesError(ValueError):
    """Raised when a model's configuration asks for features that this module does not extract."""


class NoFilesError(ValueError):
    """Raised when there is nothing to ask about."""


@dataclass(frozen=True, slots=True)
class FileTypeModel:
    """magika's ONNX file, its tensors' names, what its classes mean, and how many bytes it sees of a file.

    Features are those of magika's `features extraction v2`: of the first and the last `block` bytes, stripped of
    white space at the file's end, the outer `begin` and `end` bytes as integers, PADDING where there are none.
    """

    path: Path
    input: str
    output: str
    labels: tuple[str, ...]
    begin: int
    end: int
    block: int

    def features(self, content: bytes) -> Array:
        """The model's input for one file: (1, begin + end) int32."""
        size = min(self.block, len(content))
        begin = content[:size].lstrip()[: self.begin]
        end = content[len(content) - size :].rstrip()[-self.end :]
        result = np.full((1, self.begin + self.end), PADDING, np.int32)
        result[0, : len(begin)] = np.frombuffer(begin, np.uint8)
        result[0, result.shape[1] - len(end) :] = np.frombuffer(end, np.uint8)
        return result


@dataclass(frozen=True, slots=True)
class Samples:
    """Files as model inputs, with the index of their true class."""

    inputs: tuple[Mapping[str, Array], ...]
    labels: tuple[int, ...]


def read_model(path: Path, config: bytes) -> FileTypeModel:
    """The model at `path` as its JSON `config` describes it; UnknownFeaturesError if it wants others."""
    parsed = msgspec.json.decode(config, type=_Config)
    if parsed.mid_size or parsed.use_inputs_at_offsets or parsed.padding_token != PADDING:
        raise UnknownFeaturesError(f"{path}: its config asks for features other than a file's two ends")
    return FileTypeModel(
        path=path,
        input="bytes",
        output="target_label",
        labels=tuple(parsed.target_labels_space),
        begin=parsed.beg_size,
        end=parsed.end_size,
        block=parsed.block_size,
    )


def sample_files(model: FileTypeModel, roots: Sequence[Path], count: int, seed: int) -> Samples:
    """Up to `count` files under `roots`, as many of each kind as there are; raises NoFilesError when there is none."""
    classes = {name: index for index, name in enumerate(model.labels)}
    kinds: dict[str, list[Path]] = {suffix: [] for suffix, label in LABELS.items() if label in classes}
    for path in _walk(roots):
        if path.suffix in kinds and SMALLEST <= path.stat().st_size <= LARGEST:
            kinds[path.suffix].append(path)
    random = np.random.default_rng(seed)
    for paths in kinds.values():
        random.shuffle(paths)
    found = {suffix: paths for suffix, paths in kinds.items() if paths}
    if not found:
        raise NoFilesError(f"no file under {', '.join(map(str, roots))} has one of the suffixes {' '.join(LABELS)}")
    chosen = [
        (path, classes[LABELS[suffix]])
        for turn in range(count)
        for suffix, paths in found.items()
        for path in paths[turn : turn + 1]
    ][:count]
    inputs = tuple({model.input: model.features(path.read_bytes())} for path, _ in chosen)
    return Samples(inputs, tuple(label for _, label in chosen))


def _walk(roots: Sequence[Path]) -> Iterable[Path]:
    for root in roots:
        for folder, inner, names in os.walk(root):
            inner.sort()
            yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())
