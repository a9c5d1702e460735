"""A tenant whose model is known by heart, and the ConfigMap that agents find the model in."""

from __future__ import annotations

import base64
from typing import Any

from scaling_model import scaling_model

from bed.cluster import Cluster

FOLDER = "/models"  # where agents have it
CONFIG_MAP = "models"
FILE, WIDTH = "double.onnx", 4
DOUBLED = [2.0, 4.0, 6.0, 8.0]  # what comes back of 1, 2, 3, 4

# Values of the chart by which agents have the models, as users would say it.
VALUES: dict[str, Any] = {
    "volumes": [{"name": CONFIG_MAP, "configMap": {"name": CONFIG_MAP}}],
    "volumeMounts": [{"name": CONFIG_MAP, "mountPath": FOLDER}],
}


def models(namespace: str) -> dict[str, Any]:
    """The ConfigMap with the model."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": namespace},
        "binaryData": {FILE: base64.b64encode(scaling_model(2.0, WIDTH).SerializeToString()).decode()},
    }


def tenant(name: str, namespace: str) -> dict[str, Any]:
    """One that doubles what it is sent, with time enough for a machine that does much else."""
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "slo": {"deadline": "5s"},
            "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": f"{FOLDER}/{FILE}"}}],
        },
    }


def make(cluster: Cluster, name: str, namespace: str) -> str:
    """Apply a tenant, wait until it is ready, and return its Service's address."""
    cluster.apply(tenant(name, namespace))
    wait(cluster, name, namespace)
    return address(cluster, name, namespace)


def wait(cluster: Cluster, name: str, namespace: str) -> None:
    """Wait until a tenant is ready."""
    cluster.kubectl("wait", f"it/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=60s", seconds=90.0)


def address(cluster: Cluster, name: str, namespace: str) -> str:
    """A tenant's address in the cluster: there is no DNS."""
    found: str = cluster.get("service", f"{name}-treadle", "-n", namespace)["spec"]["clusterIP"]
    return found
