"""Objects as an API server would give them, and a clock that stands still until it is told otherwise."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from treadle_api.units import Seconds
from treadle_operator.clock import Clock

Manifest = dict[str, Any]
CREATED = "2026-11-22T20:00:00Z"


class StoppedClock(Clock):
    """Both clocks as they are set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> Seconds:
        return Seconds(1_800_000_000.0 + self.now)

    def steady(self) -> Seconds:
        return Seconds(self.now)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits in the loop until something is so."""

    async def wait(check: Callable[[], object]) -> None:
        async with asyncio.timeout(10.0):
            while not check():  # noqa: ASYNC110 - what is waited for has no event to tell it
                await asyncio.sleep(0.001)

    return wait


@pytest.fixture
def stored() -> Callable[..., Manifest]:
    """Gives a manifest what the API server adds: uid, resourceVersion, creationTimestamp, generation."""
    versions = itertools.count(100)

    def store(manifest: Manifest, uid: str | None = None, version: int | None = None) -> Manifest:
        metadata = manifest["metadata"]
        added = {
            "uid": uid or f"uid-{metadata['name']}",
            "resourceVersion": str(next(versions) if version is None else version),
            "creationTimestamp": CREATED,
            "generation": 1,
        }
        return manifest | {"metadata": {**metadata, **added}}

    return store


@pytest.fixture
def tenant() -> Callable[..., Manifest]:
    """An InferenceTenant's manifest; `spec` members replace the usual ones."""

    def make(name: str = "digits", namespace: str = "team", **spec: Any) -> Manifest:
        usual: Manifest = {
            "slo": {"deadline": "100ms", "objective": "99.5", "window": "720h", "minAccuracy": "78.31"},
            "tiers": [
                {
                    "name": "large",
                    "accuracy": "97.5",
                    "model": {"uri": "https://models/large.onnx", "sha256": "a" * 64},
                },
                {"name": "small", "accuracy": "92.125", "model": {"uri": "file:///models/small.onnx"}},
            ],
        }
        return {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name, "namespace": namespace},
            "spec": usual | spec,
        }

    return make


@pytest.fixture
def node() -> Callable[..., Manifest]:
    """An InferenceNode's manifest with one device."""

    def make(name: str = "a") -> Manifest:
        device = {
            "id": "host",
            "model": "host",
            "memoryBytes": 1 << 30,
            "usedBytes": 0,
            "utilisation": "0",
            "stretch": "1",
            "healthy": True,
        }
        return {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceNode",
            "metadata": {"name": name},
            "status": {"address": "10.0.0.1:8080", "devices": [device]},
        }

    return make
