"""A control plane for nodes that are real: they and their Pods reach it, all controllers run, and a scheduler."""

from __future__ import annotations

from pathlib import Path

from bed.control_plane import ControlPlane
from bed.credentials import MASTERS
from bed.lifeline import Lifeline
from bed.program import Program

SCHEDULER = "system:kube-scheduler"
PROXY = "system:kube-proxy"
NODES = "system:nodes"


def kubelet_of(node: str) -> str:
    """The user that a node's kubelet is."""
    return f"system:node:{node}"


class NodesControlPlane(ControlPlane):
    """At `host`, for a node; it cannot write other nodes' objects."""

    def __init__(self, binaries: Path, lifeline: Lifeline, host: str, node: str) -> None:
        super().__init__(binaries, lifeline, host, {SCHEDULER: MASTERS, PROXY: MASTERS, kubelet_of(node): NODES})
        command: list[str | Path] = [
            binaries / "kube-scheduler",
            f"--kubeconfig={self.kubeconfig_of(SCHEDULER)}",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        self.scheduler = Program("kube-scheduler", command, lifeline.environment(), self.folder / "kube-scheduler")

    def start_controllers(self) -> None:
        super().start_controllers()
        self.scheduler.start()

    def stop(self) -> None:
        self.scheduler.kill()
        super().stop()

    def _api_server(self, etcd: str) -> list[str]:
        return [
            *super()._api_server(etcd),
            "--authorization-mode=Node",
            "--enable-admission-plugins=NodeRestriction",
            "--endpoint-reconciler-type=lease",  # Pods find it by its Service
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controllers(self) -> list[str]:
        plugins = self.folder / "volume-plugins"  # not the machine's /usr/libexec
        return [*super()._controllers(), "--controllers=*", f"--flex-volume-plugin-dir={plugins}"]
