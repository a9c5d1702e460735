"""Operators as processes on a real control plane; the agents are played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bed.addresses import free_port
from bed.cluster import Cluster
from bed.eventually import eventually
from bed.program import Program
from played.agents import Players
from played.api_proxy import ApiProxy
from played.operators import OperatorProcess
from played.world import World
from treadle.bench.placement.agents import Part, PlayedNode

QUICK = ("--lease-duration", "3")


@pytest.fixture(scope="session")
def roles(cluster: Cluster) -> Cluster:
    """The cluster with the chart's service accounts and roles."""
    cluster.apply_rbac()
    return cluster


@pytest.fixture
def world(roles: Cluster, clean_cluster: Cluster, namespace: str) -> World:
    """The cluster, empty of our objects, seen from a fresh namespace."""
    return World(roles, namespace)


@pytest.fixture
def players(world: World) -> Iterator[Callable[..., Players]]:
    """Starts the agents of nodes a, b, c …; each has one device and 16 GiB."""
    with ExitStack() as stack:

        def start(count: int = 2, part: Part | None = None, memory: int = 1 << 34) -> Players:
            names = [chr(ord("a") + number) for number in range(count)]
            nodes = [PlayedNode(name, f"10.1.0.{number}:8080", memory=memory) for number, name in enumerate(names, 1)]
            played = stack.enter_context(Players(world.cluster, nodes, part or Part(lease_seconds=3)))
            eventually(lambda: world.heard_of() >= set(names))
            return played

        yield start


@pytest.fixture
def operator(world: World, started: Callable[[Program], Program]) -> Callable[..., OperatorProcess]:
    """Starts operators, with a short leader's Lease unless told otherwise, and waits until each has read everything."""

    def start(name: str = "operator", *options: str, way: ApiProxy | None = None) -> OperatorProcess:
        made = OperatorProcess(world.cluster, name, *(options or QUICK), way=way)
        started(made.program)
        made.program.wait_for("ready: ")
        return made

    return start


@pytest.fixture
def api_proxy(cluster: Cluster) -> Iterator[ApiProxy]:
    """A way to the API server that reads what passes."""
    control_plane = cluster.control_plane
    with ApiProxy(control_plane.server, control_plane.credentials.authority, free_port()) as proxy:
        yield proxy
