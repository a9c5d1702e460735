"""What every server of a suite is asked: tenants, their models on disk, requests, and the deadline."""

from __future__ import annotations

import sysconfig
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from treadle.bench import models
from treadle.demo.files import read_model, sample_files
from treadle.load.targets import Array, Target, infer_target
from treadle.wheels import MAGIKA, MAGIKA_CONFIG, MAGIKA_MODEL, RAPIDOCR, RAPIDOCR_CLASSIFIER, member

_VARIANTS = 8  # different requests for each tenant
_REAL_TENANTS = 4  # tenants that serve the same real model


@dataclass(frozen=True, slots=True)
class Workload:
    """`models`: ONNX file by tenant; `inputs`: the requests sent to each tenant in turn, tensors by input name;
    `deadline` in seconds, from when a request is due.
    """

    name: str
    models: Mapping[str, Path]
    inputs: Sequence[Mapping[str, Array]]
    deadline: float

    def targets(self, *, binary: bool) -> list[Target]:
        """A load target for each tenant, in the order of `models`."""
        return [infer_target(tenant, self.inputs, binary=binary) for tenant in self.models]

    def expected(self, tenant: str) -> list[Array]:
        """ONNX Runtime's own outputs for the first request to `tenant`."""
        session = ort.InferenceSession(self.models[tenant], providers=["CPUExecutionProvider"])
        outputs: list[Array] = session.run(None, dict(self.inputs[0]))
        return outputs


def mlps(folder: Path, tenants: int) -> Workload:
    """MLPs 784-256-128-10, one row a request."""
    return _made("mlp", folder, tenants, lambda seed: models.mlp((784, 256, 128, 10), seed=seed), (1, 784), 0.05)


def small_mlps(folder: Path, tenants: int) -> Workload:
    """MLPs 64-64-64-10: launches cost more than arithmetic."""
    return _made("small", folder, tenants, lambda seed: models.mlp((64, 64, 64, 10), seed=seed), (1, 64), 0.05)


def embeddings(folder: Path, tenants: int) -> Workload:
    """Classifiers of sixteen words over an embedding table: 2 MB of weights and next to no arithmetic."""
    return _made(
        "embedding", folder, tenants, lambda seed: models.embedding(8192, 64, 16, 10, seed=seed), (1, 16), 0.05
    )


def convolutionals(folder: Path, tenants: int) -> Workload:
    """Convolutional models of 10.8 MB."""
    channels = (3, 64, 128, 256, 512, 256)
    return _made(
        "conv", folder, tenants, lambda seed: models.convolutional(channels, 64, 10, seed=seed), (1, 3, 64, 64), 0.5
    )


def magika(folder: Path) -> Workload:  # noqa: ARG001
    """The file-type model that ships in magika's wheel, on files of Python's own library."""
    model = read_model(member(MAGIKA, MAGIKA_MODEL), member(MAGIKA, MAGIKA_CONFIG).read_bytes())
    files = sample_files(model, [Path(sysconfig.get_path("stdlib"))], _VARIANTS, seed=0)
    return Workload("magika", _tenants("magika", model.path), files.inputs, 0.1)


def rapidocr_classifier(folder: Path) -> Workload:  # noqa: ARG001
    """The text-direction model that ships in rapidocr's wheel, on images of the size it is used with."""
    path = member(RAPIDOCR, RAPIDOCR_CLASSIFIER)
    random = np.random.default_rng(0)
    inputs = [{"x": random.uniform(-1, 1, (1, 3, 48, 192)).astype(np.float32)} for _ in range(_VARIANTS)]
    return Workload("rapidocr-cls", _tenants("rapidocr-cls", path), inputs, 0.1)


def _tenants(name: str, path: Path) -> dict[str, Path]:
    return {f"{name}-{number}": path for number in range(_REAL_TENANTS)}


def _made(
    name: str,
    folder: Path,
    tenants: int,
    build: Callable[[int], onnx.ModelProto],
    shape: tuple[int, ...],
    deadline: float,
) -> Workload:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for seed in range(tenants):
        tenant = f"{name}-{seed}"
        paths[tenant] = folder / f"{tenant}.onnx"
        if not paths[tenant].exists():
            onnx.save(build(seed), paths[tenant])
    random = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = [{models.INPUT: random.random(shape, dtype=np.float32)} for _ in range(_VARIANTS)]
    return Workload(name, paths, inputs, deadline)
