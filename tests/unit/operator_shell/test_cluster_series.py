"""What the objects say becomes figures that alerts and dashboards stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from treadle_operator.cluster_series import ClusterSeries
from treadle_operator.kube import kinds
from treadle_operator.mirror import Mirror

Manifest = dict[str, Any]
Make = Callable[..., Manifest]
DIGITS = {"tenant": "digits", "tenant_namespace": "team"}

NODE = yaml.safe_load(
    """
apiVersion: treadle.dev/v1alpha1
kind: InferenceNode
metadata: {name: node-a}
spec:
  cordonedDevices: [{id: GPU-1, reason: slow}]
status:
  devices:
    - {id: GPU-0, model: V100, memoryBytes: 16, usedBytes: 4, utilisation: "0.5", stretch: "1", healthy: true}
    - {id: GPU-1, model: V100, memoryBytes: 16, usedBytes: 0, utilisation: "0", stretch: "1", healthy: false, reason: X}
"""
)


class World:
    """Objects as an operator knows them, and what it tells of them."""

    def __init__(self, stored: Make) -> None:
        self._stored = stored
        self._mirror = Mirror(lambda: None)
        self.alive = frozenset({"node-a"})
        self.leads = True
        self._registry = CollectorRegistry()
        self._registry.register(ClusterSeries(lambda: self._mirror.snapshot(0, self.alive), lambda: self.leads))

    def take(self, kind: kinds.Kind, manifest: Manifest) -> None:
        self._mirror.take(kind, self._stored(manifest))

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"treadle_{name}", labels)


@pytest.fixture
def world(stored: Make) -> World:
    return World(stored)


def test_conditions_begin_at_zero(world: World, tenant: Make) -> None:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-11-22T20:30:00Z",
    }
    asked = ("Admitted", "Ready", "SLOMet", "AccuracyMet", "Straggling")
    world.take(kinds.TENANTS, tenant())
    assert [world.value("tenant_condition", **DIGITS, condition=one) for one in asked] == [0.0] * 5
    world.take(kinds.TENANTS, tenant() | {"status": {"conditions": [ready]}})
    assert [world.value("tenant_condition", **DIGITS, condition=one) for one in asked] == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_only_the_leader_tells_of_tenants_and_all_tell_of_nodes(world: World, tenant: Make) -> None:
    world.take(kinds.TENANTS, tenant())
    world.take(kinds.NODES, NODE)
    world.leads = False
    assert world.value("tenant_condition", **DIGITS, condition="Ready") is None
    assert world.value("node_alive", node="node-a") == 1.0
    assert world.value("device_healthy", node="node-a", device="GPU-0") == 1.0
    world.leads = True
    assert world.value("tenant_condition", **DIGITS, condition="Ready") == 0.0


def test_nodes_and_their_devices(world: World) -> None:
    world.take(kinds.NODES, NODE)
    assert world.value("node_alive", node="node-a") == 1.0
    said = {
        name: [world.value(f"device_{name}", node="node-a", device=device) for device in ("GPU-0", "GPU-1")]
        for name in ("healthy", "cordoned", "memory_bytes", "memory_used_bytes")
    }
    assert said == {
        "healthy": [1.0, 0.0],
        "cordoned": [0.0, 1.0],
        "memory_bytes": [16.0, 16.0],
        "memory_used_bytes": [4.0, 0.0],
    }
    world.alive = frozenset()
    assert world.value("node_alive", node="node-a") == 0.0


def test_a_node_that_left_in_order_is_not_lost(world: World) -> None:
    stopping = {
        "type": "Ready",
        "status": "False",
        "reason": "Stopping",
        "message": "",
        "lastTransitionTime": "2026-11-22T20:30:00Z",
    }
    world.take(kinds.NODES, NODE | {"status": NODE["status"] | {"conditions": [stopping]}})
    assert world.value("node_alive", node="node-a") == 1.0, "it serves until its tenants are elsewhere"
    world.alive = frozenset()
    assert world.value("node_alive", node="node-a") is None
