"""A cluster for a person to try things on: `make cluster`. Runs until Ctrl-C, which leaves nothing behind.

Prints one line for a shell to stdout, all else to stderr.
"""

from __future__ import annotations

import signal
import sys
import threading

from bed import deployment
from bed.cluster import TREE, Cluster, KubectlError
from bed.eventually import eventually
from controlplane import cache
from treadle_api.node import ALIVE

EXAMPLES = TREE / "examples"  # the agents run there: paths of the example tenants' models are relative to it
NODES = ("node-a", "node-b")
AT_ONCE = ("--leave-seconds", "0")  # all ends together: no tenant could be moved elsewhere
LOOK = 1.0  # seconds between looks at whether all still run


def main() -> int:
    """Bring it up, say how to use it, and wait."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if absent := cache.missing():
        _tell(f"{', '.join(absent)} not built yet: `make controlplane` does it")
        return 2
    binaries = cache.folder()
    _tell("starting a control plane, treadle's operator, and two agents with this machine's CPU as their device ...")
    try:
        with Cluster.running(binaries) as cluster:
            _run(cluster, ended)
            _tell("ending it ...")
    except KubectlError:
        if not ended.is_set():  # Ctrl-C is for kubectl too
            raise
    return 0


def _run(cluster: Cluster, ended: threading.Event) -> None:
    cluster.apply_rbac()
    agents = [deployment.agent(cluster, node, *AT_ONCE, folder=EXAMPLES) for node in NODES]
    programs = [deployment.operator(cluster, "operator"), *(agent.program for agent in agents)]
    try:
        for program in programs:
            program.start()
        eventually(lambda: ended.is_set() or _heard_of(cluster) >= {*NODES}, seconds=60)
        if not ended.is_set():
            print(cluster.export_line, flush=True)
            _tell("up: paste the line above into another shell. Ctrl-C here ends everything. Running:")
            for program in programs:
                _tell(f"  {program.name}, process {program.pid}, log {program.log}")
        running = set(programs)
        while not ended.wait(LOOK):
            for program in [program for program in running if not program.alive]:
                running.discard(program)
                _tell(f"{program.name} ended\n{program.tail()}")
        for program in running:
            program.stop()
    finally:
        for program in programs:
            program.kill()


def _heard_of(cluster: Cluster) -> set[str]:
    """The nodes that the operator counts as alive: tenants that are applied earlier are refused first."""
    return {
        node["metadata"]["name"]
        for node in cluster.get("inferencenodes")["items"]
        for condition in node.get("status", {}).get("conditions", ())
        if condition["type"] == ALIVE and condition["status"] == "True"
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
