"""Manifests to vary."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

Manifest = dict[str, object]

WHOLE: Manifest = {
    "apiVersion": "treadle.dev/v1alpha1",
    "kind": "InferenceTenant",
    "metadata": {"name": "digits", "namespace": "shop"},
    "spec": {
        "slo": {"deadline": "750ms", "objective": "99.9", "window": "24h", "minAccuracy": "80"},
        "tiers": [
            {"name": "small", "accuracy": "80", "model": {"uri": "small.onnx"}},
            {
                "name": "large",
                "accuracy": "97.5",
                "model": {"uri": "https://models.test/large.onnx", "sha256": "ab" * 32},
            },
        ],
        "load": {"requestsPerSecond": "250"},
        "priority": 2,
        "replicas": {"min": 1, "max": 3},
        "nodeSelector": {"gpu": "a100"},
        "switching": {"mode": "Pinned", "tier": "large"},
    },
}


@pytest.fixture
def changed() -> Callable[..., Manifest]:
    """The whole manifest with fields set (by path: keys and indices), or removed where the value is `...`."""

    def change(*changes: tuple[tuple[object, ...], object]) -> Manifest:
        manifest = copy.deepcopy(WHOLE)
        for path, value in changes:
            place: object = manifest
            for step in path[:-1]:
                place = place[step]  # type: ignore[index]
            if value is ...:
                del place[path[-1]]  # type: ignore[attr-defined]
            else:
                place[path[-1]] = value  # type: ignore[index]
        return manifest

    return change
