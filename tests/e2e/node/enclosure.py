"""Namespaces of a node's own — mounts, processes, network, names, control groups — and a cable to this machine."""

from __future__ import annotations

import ipaddress
import json
import random
import subprocess
import sys
from pathlib import Path

from bed.lifeline import Lifeline
from bed.program import Program
from node import inside, joining

NETWORKS = ipaddress.ip_network("10.231.0.0/16")  # one of these has the two ends of a cable
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")
SCRIPT = (sys.executable, "-I", "-S")
FOREVER = 120.0  # seconds that a command inside may take


class Enclosure:
    """One; it ends with the lifeline, and with it all that runs in it, its control groups and its cable."""

    def __init__(self, lifeline: Lifeline, path: str) -> None:
        """`path`: the PATH of what runs inside."""
        self.folder = lifeline.folder
        self._environment = lifeline.environment(PATH=path)
        network = _free_network()
        self.outside, self.inside = (str(host) for host in network.hosts())
        self._cable = f"tb{random.SystemRandom().randrange(16**8):08x}"
        address = f"{self.inside}/{network.prefixlen}"
        unshare = ("unshare", *NAMESPACES, "--mount-proc", "--fork", "--kill-child", "--propagation=private")
        first = (*SCRIPT, inside.__file__, str(self.folder), address, self.outside)
        self._first = Program("inside", self._joined(*unshare, *first), self._environment, self.folder / "inside.log")

    def start(self) -> None:
        """Return when it can be lived in."""
        self._first.start()
        self._first.wait_for("^prepared$")
        ip = ("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", str(self._process()))
        _run(*ip)
        _run("ip", "addr", "add", f"{self.outside}/30", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        self._first.wait_for("^ready$")

    def stop(self) -> None:
        """End all that is inside."""
        self._first.kill()

    def program(self, name: str, *command: str | Path) -> Program:
        """A process inside that is not started yet."""
        return Program(name, self._entered(*command), self._environment, self.folder / f"{name}.log")

    def said(self, *command: str | Path) -> str:
        """What a command prints that is run inside.

        Raises:
            AssertionError: it fails.
        """
        done = subprocess.run(
            self._entered(*command),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FOREVER,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]} failed with exit code {done.returncode}\n{done.stderr}"
        return done.stdout

    def _entered(self, *command: str | Path) -> list[str | Path]:
        return self._joined("nsenter", f"--target={self._process()}", *NAMESPACES, "--", *command)

    def _joined(self, *command: str | Path) -> list[str | Path]:
        return [*SCRIPT, joining.__file__, self.folder.name, *command]

    def _process(self) -> int:
        """Process 1 of the inside, as this machine numbers it."""
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        return int(children.read_text())


def _free_network() -> ipaddress.IPv4Network:
    """A network of two that this machine is not in."""
    found = json.loads(_run("ip", "-json", "addr"))
    taken = [
        ipaddress.ip_address(one["local"]) for link in found for one in link["addr_info"] if one["family"] == "inet"
    ]
    first = int(NETWORKS.network_address)
    while True:
        network = ipaddress.IPv4Network((first + 4 * random.SystemRandom().randrange(NETWORKS.num_addresses // 4), 30))
        if not any(address in network for address in taken):
            return network


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
