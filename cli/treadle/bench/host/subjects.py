"""What is compared: models that a launch costs more than their arithmetic, one that merging would slow, and large ones.

Targets are issue 5's: speed over one ONNX Runtime session a tenant, called in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from treadle.bench import models
from treadle.wheels import MAGIKA, MAGIKA_MODEL, RAPIDOCR, RAPIDOCR_CLASSIFIER, RAPIDOCR_RECOGNIZER, Wheel, member

TENANTS = 64
LATENCY = 1 / 1.10  # of a single model: at most a tenth slower


@dataclass(frozen=True, slots=True)
class Subject:
    """`make` gives the bytes of a model with the weights of a seed; `shape` of its one input, for one request.

    `integers`: the input holds numbers below this one, 0 where it is float32.
    """

    name: str
    make: Callable[[int], bytes]
    shape: tuple[int, ...]
    tenants: int
    target: float
    integers: int = 0


def _built(build: Callable[..., Any], *sizes: object) -> Callable[[int], bytes]:
    def make(seed: int) -> bytes:
        model: bytes = build(*sizes, seed=seed).SerializeToString()
        return model

    return make


def _shipped(wheel: Wheel, name: str) -> Callable[[int], bytes]:
    return lambda _: member(wheel, name).read_bytes()


SUBJECTS = (
    Subject("MLP 64-64-10", _built(models.mlp, (64, 64, 10)), (1, 64), TENANTS, 8.0),
    Subject("GRU 32, 9 steps", _built(models.gru, 32, 9, 16, 10), (1, 9, 16), TENANTS, 2.0),
    Subject("MLP 784-256-128-10", _built(models.mlp, (784, 256, 128, 10)), (1, 784), TENANTS, 0.95),
    Subject("ResNet-18", _built(models.resnet, 18), (1, 3, 224, 224), 1, LATENCY),
    Subject("magika", _shipped(MAGIKA, MAGIKA_MODEL), (1, 2048), 1, LATENCY, integers=256),
    Subject("rapidocr cls", _shipped(RAPIDOCR, RAPIDOCR_CLASSIFIER), (1, 3, 48, 192), 1, LATENCY),
    Subject("rapidocr rec", _shipped(RAPIDOCR, RAPIDOCR_RECOGNIZER), (1, 3, 48, 320), 1, LATENCY),
)
