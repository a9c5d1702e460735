"""The operator and agents as the chart will run them: processes under the service accounts and roles that it ships."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bed.addresses import LOOPBACK, free_port, own_address
from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.program import Program
from bed.proxy import Proxy

EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Agent:
    """A node's agent. `address`: HOST:PORT as it tells the cluster; `url`: the same front end on loopback."""

    node: str
    address: str
    url: str
    program: Program


def operator(cluster: Cluster, name: str, *options: str, way: Proxy | None = None) -> Program:
    """An operator process that is not started yet; `way`: how it reaches the API server, if not directly."""
    kubeconfig = cluster.kubeconfig_for("treadle-operator", server=way.url if way else None)
    listen = f"{LOOPBACK}:{free_port()}"
    command = (sys.executable, "-m", "treadle_operator", "--namespace", SYSTEM_NAMESPACE, "--listen", listen)
    return cluster.program(name, *command, *options, kubeconfig=kubeconfig)


def agent(
    cluster: Cluster,
    node: str,
    *options: str,
    device: str = "host",
    way: Proxy | None = None,
    folder: Path | None = None,
) -> Agent:
    """A node's agent that is not started yet; `folder`: where it runs, and finds models of relative paths."""
    kubeconfig = cluster.kubeconfig_for("treadle-agent", server=way.url if way else None)
    port = free_port(EVERYWHERE)
    address = f"{own_address()}:{port}"
    command = (sys.executable, "-m", "treadle_agent", "--namespace", SYSTEM_NAMESPACE, "--node-name", node)
    here = ("--port", str(port), "--address", address, "--device", device)
    own = {"XDG_CACHE_HOME": str(cluster.folder / f"cache-{node}")}  # as on machines of their own
    program = cluster.program(f"agent-{node}", *command, *here, *options, kubeconfig=kubeconfig, folder=folder, **own)
    return Agent(node, address, f"http://{LOOPBACK}:{port}", program)
