"""A cluster with a node: a kubelet that runs Pods, in namespaces of its own on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bed.cluster import Cluster
from bed.control_plane import SERVICE_RANGE
from bed.eventually import eventually
from bed.lifeline import Lifeline
from bed.program import Program
from node import settings
from node.archive import write_archive
from node.control_plane import PROXY, NodesControlPlane, kubelet_of
from node.enclosure import Enclosure

NAME = "node-1"
START = 90.0  # seconds for the kubelet to say that the node is ready: the machine may be busy
CTR = ("ctr", "--address", settings.SOCKET, "--namespace", "k8s.io", "images")


class Node:
    """A node of a control plane that runs; `binaries`: the folder that `make controlplane` prints."""

    def __init__(self, binaries: Path, enclosure: Enclosure, control_plane: NodesControlPlane) -> None:
        self.folder = enclosure.folder
        self._enclosure = enclosure
        self._pause = binaries / "pause"
        containerd = ("containerd", f"--config={settings.write_containerd(self.folder)}")
        kubelet = (
            binaries / "kubelet",
            f"--config={settings.write_kubelet(self.folder)}",
            f"--kubeconfig={control_plane.kubeconfig_of(kubelet_of(NAME))}",
            f"--hostname-override={NAME}",
            f"--node-ip={enclosure.inside}",
        )
        told = settings.write_proxy(self.folder, NAME, control_plane.kubeconfig_of(PROXY))
        self.containerd = enclosure.program("containerd", *containerd)
        self.kubelet = enclosure.program("kubelet", *kubelet)
        self.proxy = enclosure.program("kube-proxy", binaries / "kube-proxy", f"--config={told}")

    @property
    def programs(self) -> tuple[Program, ...]:
        """All of the node's own."""
        return self.containerd, self.kubelet, self.proxy

    def start_containerd(self, archives: Sequence[Path]) -> None:
        """Start it, and give it the images of these archives: there is no registry."""
        pause = self.folder / "pause.tar"
        write_archive(pause, settings.PAUSE, self._pause)
        self.containerd.start()
        self.containerd.wait_for("containerd successfully booted")
        for archive in (pause, *archives):
            self._enclosure.said(*CTR, "import", archive)
        for reference in self._enclosure.said(*CTR, "list", "--quiet").split():
            self._enclosure.said(*CTR, "label", reference, "io.cri-containerd.pinned=pinned")

    def tag(self, reference: str, other: str) -> None:
        """Give an image that the node has another name, too."""
        self._enclosure.said(*CTR, "tag", "--force", reference, other)

    def start(self) -> None:
        """Start what joins the control plane.

        A packet that kube-proxy's rules have not turned to a Pod ends here. It went out else, and was remembered as one
        that is not to be turned: a client that begins too early, or while rules are changed, would try again in vain.
        """
        self._enclosure.said("iptables", "--append", "FORWARD", "--destination", SERVICE_RANGE, "--jump", "DROP")
        self.kubelet.start()
        self.proxy.start()

    def stop(self) -> None:
        """End what was started; Pods go with the enclosure."""
        for program in self.programs:
            program.kill()


@contextmanager
def running(binaries: Path, archives: Sequence[Path] = ()) -> Iterator[tuple[Cluster, Node]]:
    """A cluster with one node that is ready and has the images of `archives`, for as long as the context lasts."""
    path = f"{binaries}:{os.environ['PATH']}:/usr/sbin:/sbin"
    with Lifeline() as lifeline, ExitStack() as stack:
        enclosure = Enclosure(lifeline, path)
        stack.callback(enclosure.stop)
        enclosure.start()
        control_plane = NodesControlPlane(binaries, lifeline, enclosure.outside, NAME)
        stack.callback(control_plane.stop)
        cluster = Cluster(binaries, lifeline, control_plane)
        node = Node(binaries, enclosure, control_plane)
        stack.callback(node.stop)
        control_plane.start()
        node.start_containerd(archives)
        node.start()
        control_plane.start_controllers()
        eventually(lambda: _is_ready(cluster, node), START)
        yield cluster, node


def _is_ready(cluster: Cluster, node: Node) -> bool:
    """Whether Pods can be made: the node says so, and the namespace has what they are given."""
    for program in node.programs:
        if not program.alive:
            raise RuntimeError(f"{program.name} ended\n{program.tail()}")
    if not cluster.exists("node", NAME):
        return False
    conditions = cluster.get("node", NAME)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) and all(
        cluster.exists(*what) for what in (("serviceaccount", "default"), ("configmap", "kube-root-ca.crt"))
    )
