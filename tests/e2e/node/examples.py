"""The tenants of examples/ on a cluster with a real node, with their models on a volume."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bed.cluster import SYSTEM_NAMESPACE, TREE, Cluster
from bed.helm import Values

FOLDER = TREE / "examples"
VOLUME = "models"

# Values of the chart by which agents have the models, as users would say it. A tenant's `models/small.onnx` is there.
VALUES: Values = {
    "volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME, "readOnly": True}}],
    "volumeMounts": [{"name": VOLUME, "mountPath": "/models", "readOnly": True}],
}


@dataclass(frozen=True, slots=True)
class Example:
    """A tenant, its manifest, and what visitors send it: `calm` and `spike` requests of `rows` images a second."""

    name: str
    namespace: str
    file: str
    rows: int
    calm: float
    spike: float


TENANTS = (
    Example("minimal", "default", "minimal.yaml", rows=1, calm=20, spike=20),
    Example("digits", "examples", "three-tiers.yaml", rows=1, calm=20, spike=20),
    Example("under-load", "default", "under-load.yaml", rows=32, calm=2, spike=80),
)


def train(folder: Path) -> None:
    """Make the models of the tenants; takes some seconds."""
    subprocess.run([sys.executable, FOLDER / "make_models.py", folder], stdout=subprocess.DEVNULL, check=True)


def provide_models(cluster: Cluster, folder: Path) -> None:
    """Make a volume of a folder of this machine, and claim it for the agents."""
    for manifest in volume(folder):
        cluster.apply(manifest)


def volume(folder: Path) -> Sequence[dict[str, Any]]:
    """A volume, bound to its claim beforehand."""
    terms = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    size = {"storage": "1Gi"}
    claim = {"namespace": SYSTEM_NAMESPACE, "name": VOLUME}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": VOLUME},
            "spec": {**terms, "capacity": size, "claimRef": claim, "hostPath": {"path": str(folder)}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": claim,
            "spec": {**terms, "resources": {"requests": size}, "volumeName": VOLUME},
        },
    )


def apply(cluster: Cluster, example: Example) -> None:
    """Apply the manifest as it stands; one that names a namespace finds it there."""
    if not cluster.exists("namespace", example.namespace):
        cluster.kubectl("create", "namespace", example.namespace)
    cluster.kubectl("apply", "-f", FOLDER / example.file)
