"""A story of a cluster's life, and an operator that may be killed at any of its writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from played.agents import Players
from played.api_proxy import ApiProxy, is_write
from played.operators import OperatorProcess
from played.world import World

State = dict[str, Any]


class Killer:
    """Kills a process right after the API server has carried out some of its writes, counted from 1.

    The process never hears of the answer; it is started again, as the kubelet would.
    """

    def __init__(self, proxy: ApiProxy, process: OperatorProcess) -> None:
        self._process = process
        self._victims: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self.writes = 0
        self.kills = 0
        proxy.after = self._after

    def aim(self, victims: Collection[int]) -> None:
        """Kill at these writes from now on."""
        with self._lock:
            self._victims = frozenset(victims)
            self.writes = self.kills = 0

    def _after(self, method: str, path: str, _: int) -> None:
        if not is_write(method, path):
            return
        with self._lock:
            self.writes += 1
            if self.writes in self._victims:
                self.kills += 1
                self._process.program.kill()
                self._process.program.start()


@dataclass(frozen=True, slots=True)
class Step:
    """Something happens; then `settled` is to become so, whatever the operator meets with meanwhile."""

    name: str
    happens: Callable[[World, Players], object]
    settled: Callable[[World], bool]


def _ready(world: World, name: str, nodes: list[str]) -> bool:
    """Whether a tenant is served by exactly these nodes, and all that is told of it is true."""
    tenant = world.tenant(name)
    replicas = world.replicas(name)
    tiers = [tier["name"] for tier in tenant["spec"]["tiers"]]
    addresses = {
        one["status"]["address"].partition(":")[0]: True for one in replicas if one.get("status", {}).get("address")
    }
    return (
        [one["spec"]["nodeName"] for one in replicas] == nodes
        and not any(one["spec"]["draining"] for one in replicas)
        and all([tier["name"] for tier in one["spec"]["template"]["tiers"]] == tiers for one in replicas)
        and world.endpoints(name) == addresses
        and len(addresses) == len(nodes)
        and world.holds(name, "Admitted")
        and world.holds(name, "Ready")
        and tenant.get("status", {}).get("replicas") == {"desired": len(nodes), "ready": len(nodes)}
    )


def _spread(world: World, name: str, count: int, without: str = "") -> bool:
    nodes = world.nodes_of(name)
    return len(nodes) == count and without not in nodes and _ready(world, name, nodes)


def _gone(world: World, name: str) -> bool:
    return not (
        world.get(f"{world.here}/inferencetenants/{name}")
        or world.replicas(name)
        or world.service(name)
        or world.slices(name)
    )


ONE, TWO = "one", "two"
OTHER_TIERS = [{"name": "only", "accuracy": "99", "model": {"uri": "models/other.onnx"}}]

STORY = (
    Step("create", lambda world, _: (world.apply_tenant(ONE), world.apply_tenant(TWO)),
         lambda world: _spread(world, ONE, 1) and _spread(world, TWO, 1)),
    Step("scale up", lambda world, _: world.apply_tenant(ONE, replicas={"min": 2, "max": 2}),
         lambda world: _spread(world, ONE, 2)),
    Step("edit tiers", lambda world, _: world.apply_tenant(ONE, tiers=OTHER_TIERS),
         lambda world: _spread(world, ONE, 2) and world.tenant(ONE)["status"]["activeTier"] == "only"),
    Step("node loss", lambda _, players: players.lose("a"),
         lambda world: _spread(world, ONE, 2, "a") and _spread(world, TWO, 1, "a")),
    Step("node return", lambda _, players: players.revive("a"),
         lambda world: _spread(world, ONE, 2, "a") and _spread(world, TWO, 1, "a")),
    Step("eviction", lambda _, players: players.play(lambda part: part.stragglers.add(f"{ONE}@b")),
         lambda world: _spread(world, ONE, 2, "b")),
    Step("scale down", lambda world, _: world.apply_tenant(ONE, replicas={"min": 1, "max": 1}),
         lambda world: _spread(world, ONE, 1)),
    Step("delete", lambda world, _: world.delete_tenants(ONE, TWO),
         lambda world: _gone(world, ONE) and _gone(world, TWO)),
)  # fmt: skip
