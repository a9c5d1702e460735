"""What a node's programs are told: containerd, its network, kubelet and kube-proxy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAUSE = "localhost/pause:1"
PODS = "10.244.0.0/24"
SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/usr/lib/cni"  # where Debian's package has them

CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{network}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""

NETWORK = {
    "cniVersion": "1.0.0",
    "name": "node",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": PODS}]]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failCgroupV1": False,
    "failSwapOn": False,
    "cgroupDriver": "cgroupfs",
    "containerRuntimeEndpoint": f"unix://{SOCKET}",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "volumePluginDir": "/var/lib/kubelet/volume-plugins",  # not the machine's /usr/libexec
    # The images came with the node, and there is nowhere to pull them from again.
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
    "nodeStatusUpdateFrequency": "5s",
    "syncFrequency": "10s",  # how soon Pods see a changed Secret
}

PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "iptables",
    "clusterCIDR": PODS,
    # The machine's own tables are left as they are.
    "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}


def write_containerd(folder: Path) -> Path:
    """containerd's configuration, and of the network that it gives to Pods."""
    network = folder / "network"
    network.mkdir()
    (network / "node.conflist").write_text(json.dumps(NETWORK))
    text = CONTAINERD.format(socket=SOCKET, pause=PAUSE, plugins=PLUGINS, network=network)
    path = folder / "containerd.toml"
    path.write_text(text)
    return path


def write_kubelet(folder: Path) -> Path:
    """The kubelet's configuration."""
    names = folder / "resolv.conf"
    names.write_text("nameserver 127.0.0.53\n")  # nobody: Pods find Services by their variables
    return _write(folder / "kubelet.json", {**KUBELET, "resolvConf": str(names)})


def write_proxy(folder: Path, node: str, kubeconfig: Path) -> Path:
    """kube-proxy's configuration."""
    more = {"hostnameOverride": node, "clientConnection": {"kubeconfig": str(kubeconfig)}}
    return _write(folder / "proxy.json", {**PROXY, **more})


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))  # JSON is YAML
    return path
